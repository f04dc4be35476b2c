"""The plugin: routes compiled each phase, sockets bound in the lifespan, requests served between."""

from __future__ import annotations

import inspect
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import pluggy

from covet_http._annotation import plain
from covet_http._asgi import AsgiApplication
from covet_http._bind import bind
from covet_http._binding import HttpBinding
from covet_http._challenges import challenges
from covet_http._codecs import Codecs, MediaCodec, MessagePack
from covet_http._config import HttpConfig
from covet_http._decode import Decoding, MakesCodec, MakesRoute
from covet_http._dispatch import Dispatcher, Target
from covet_http._event_streams import EventStreams
from covet_http._fixed import Fixed, add_fixed, health
from covet_http._forms._parts import Parts
from covet_http._mounts import Mount, Mounted, Mounts, add_mount
from covet_http._newcomers import keep_newcomers_away
from covet_http._openapi._serve import ServedDocument, WholeBinding, whole_codec
from covet_http._outcomes import with_outcomes
from covet_http._problem import Problems
from covet_http._request import Request
from covet_http._route import Route
from covet_http._router import Router
from covet_http._rules._rules import Rules
from covet_http._server import HTTP_SERVER, OUTER, HttpListener, HttpServer
from covet_http._specs import Specs
from covet_http._versions._changes import VersionChange, version_changes_of
from covet_http._versions._unversioned import unversioned
from covet_http._websocket._handshake import HandshakeRequest
from covet_http._websocket._open import WebSocketCounts
from covet_http._websocket._socket import WebSocket
from covet_kernel import Command, ConfigurationError, Context, Plugin, Serving, installed
from covet_kernel.contracts import KEY_VALUE, Capability, Interceptor, Metric, Operation, Record
from covet_operations import (
    OPERATIONS,
    Codec,
    Endpoint,
    Pipeline,
    Provider,
    Signature,
    provider,
    providers_of,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from covet_http._openapi._contract import Contract
    from covet_http._versions._plan import Versions
    from covet_http._versions._routes import VersionedRoutes
    from covet_http._websocket._compile import WebSockets
    from covet_operations import ChannelSource, ContractDocument

log = logging.getLogger("covet.http")

_ENGINE = "engine"
_PORTABLE = "hypercorn"
# Past the drain deadline calls are told to stop and get this long to say so to their clients.
_LAST_WORDS = 1.0


class HttpService(Record):
    """What the plugin provides: where it listens.

    Attributes:
        urls: One per bound address, such as ``"http://127.0.0.1:8000"``.
        listener: What its requests come by; only tests talk to it.
    """

    urls: tuple[str, ...]
    listener: HttpListener | None = None


HTTP: Final = Capability[HttpService]("http.service", plugins=("http",))
"""Where the service listens, for tests and for plugins that tell others."""


class Http(Plugin[HttpConfig]):
    """REST: serves every operation that has an `HttpBinding`."""

    provides = (HTTP,)
    requires = (OPERATIONS, HTTP_SERVER)

    def __init__(self, config: HttpConfig) -> None:
        super().__init__(config)
        self._next: AsgiApplication | None = None
        self._changes: tuple[VersionChange, ...] = ()
        self._mounted: list[tuple[str, Mounted]] = []
        self._rules = Rules(config)
        self._document = ServedDocument(config)
        self._contract: Contract | None = None
        self._directory = Path()
        self._websocket_counts = WebSocketCounts()

    @property
    def implies(self) -> Sequence[str]:
        return ("operations", choose_server(self.config.server, installed("covet.http_servers")))

    def covet_add_hookspecs(self, pm: pluggy.PluginManager) -> None:
        pm.add_hookspecs(Specs)

    def covet_interceptors(self) -> Sequence[Interceptor]:
        return self._rules.interceptors

    def covet_providers(self) -> Iterable[Provider]:
        return providers_of(self)

    @provider()
    def parts(self, request: Request) -> Parts:
        """The parts of a form, for handlers that take them as they arrive."""
        return Parts(request)

    @provider()
    def websocket(self, request: HandshakeRequest) -> WebSocket:
        """The WebSocket that a handshake becomes."""
        return request.websocket

    def covet_operations(self) -> Iterable[Operation]:
        operations = [*self._document.operations()]
        if self.config.static:
            from covet_http._static import configured

            operations += configured(self.config.static, self._directory)
        return operations

    def covet_metrics(self) -> Iterable[Metric]:
        """What is counted of WebSockets, whatever the server."""
        return self._websocket_counts.metrics()

    def covet_commands(self) -> Iterable[Command]:
        from covet_http._openapi._command import openapi_command

        return (openapi_command(self.config),)

    def covet_contract_documents(self) -> Iterable[ContractDocument]:
        from covet_http._openapi._rendered import render_all
        from covet_operations import ContractDocument

        yield ContractDocument(kind="openapi", render=partial(render_all, config=self.config))

    def covet_channels(self) -> Iterable[ChannelSource]:
        from covet_http._websocket._described import channels

        yield channels

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        pipeline = ctx.require(OPERATIONS)
        server = ctx.require(HTTP_SERVER)
        self._directory = ctx.directory
        options = self.config.server_options(ctx.directory)
        if options.tls is not None and not getattr(server, "speaks_tls", False):
            raise _without_tls(server)
        sockets = await self._bind()
        scheme = "http" if options.tls is None else "https"
        urls = tuple(_url(bound, scheme) for bound in sockets)
        self._changes = tuple(each for module in ctx.modules for each in version_changes_of(module))
        async with (
            Mounts() as mounts,
            server.listen(sockets, options) as listener,
        ):
            ctx.provide(HTTP, HttpService(urls=urls, listener=listener))
            ctx.compile(lambda serving: self._compile(serving, pipeline))
            ctx.serve(lambda serving: self._serve(serving, listener, mounts, ctx, sockets, urls))
            yield
        if self._contract is not None:
            self._contract.conclude()

    async def _bind(self) -> list[socket.socket]:
        if self.config.server == OUTER:
            return []
        return await bind(self.config.host, self.config.port)

    def _compile(self, serving: Serving, pipeline: Pipeline) -> None:
        # Whoever serves a folder has imported what does it.
        static = sys.modules.get("covet_http._static")
        if static is not None:
            static.check_folders((each, serving.owner(each)) for each in serving.operations)
        rules = self._rules
        # Asked for here and not wanted: another store replaces that of a phase, and no listener.
        rules.idempotency.store = serving.provided.get(KEY_VALUE)
        problems = Problems(
            self.config.problem_base,
            rules.common,
            challenges(serving.authenticators, self.config.openapi.title),
        )
        decoding = Decoding(
            Codecs(self._codecs(serving)),
            compressed=bool(self.config.decompress),
            refuse_extra_query=self.config.refuse_extra_query,
        )
        versions = self._versions(serving, decoding.codec)
        codec: MakesCodec = decoding.codec if versions is None else versions.codec
        variants = unversioned if versions is None else versions.variants
        codec = with_outcomes(codec, problems)
        contract = self._begin_contract()
        endpoints = pipeline.compile(
            serving, HttpBinding, partial(_codec, codec, contract), variants
        )
        self._document.begin(serving, pipeline, versions)
        fixed = list(serving.collect("covet_http_fixed"))
        if self.config.health_path:
            fixed.append(("plugins.http.health_path", health(self.config.health_path)))
        make = partial(decoding.route, Route if contract is None else contract.route)
        versioned = None
        if versions is not None:
            gone = [
                (each, _types(binding, pipeline.signature(serving, operation)))
                for operation, binding in _bound(serving)
                for each in versions.gone(operation, binding)
                if endpoints
            ]
            from covet_http._versions._routes import VersionedRoutes

            versioned = VersionedRoutes(versions, problems, gone, make)
        mounted = list(serving.collect("covet_http_mounts"))
        websockets = self._websockets(serving, pipeline, decoding, problems)
        routes, self._mounted = route(
            endpoints, problems, serving, fixed, mounted, versioned, make, websockets
        )  # fmt: skip
        prefixes: dict[str, str] = {}
        if versions is not None:
            versions.history.warn_of_unused()
            if versions.config.by == "path":
                prefixes = {name: versions.prefix(name) for name in versions.served}
        config = self.config
        dispatcher = Dispatcher(
            routes,
            problems,
            config.limits_for(rules.proxies),
            versions=prefixes,
            hosts=rules.hosts,
            cors=rules.cors,
            edges=rules.edges,
            slash=config.trailing_slash,
            events=EventStreams(self.config.event_keep_alive),
        )
        make_websockets = None
        if websockets is not None:
            make_websockets = partial(websockets.dispatcher, dispatcher)
        self._next = AsgiApplication(dispatcher, make_websockets)

    def _websockets(
        self, serving: Serving, pipeline: Pipeline, decoding: Decoding, problems: Problems
    ) -> WebSockets | None:
        """The paths of WebSockets, ``None`` if no operation has been bound to one."""
        if "covet_http._websocket._binding" not in sys.modules:
            return None
        from covet_http._websocket._compile import WebSockets

        config, cors = self.config.websocket, self.config.cors
        counts = self._websocket_counts
        return WebSockets(serving, pipeline, decoding, problems, config, cors, counts)

    def _begin_contract(self) -> Contract | None:
        """What checks the answers of the phase that begins; what broke it before stays known."""
        if not self.config.openapi.contract:
            return None
        from covet_http._openapi._contract import Contract

        broken = self._contract.broken if self._contract is not None else []
        self._contract = Contract(self._document.of_version)
        self._contract.broken += broken
        return self._contract

    def covet_http_version_changes(self) -> Iterable[VersionChange]:
        return self._changes

    def _versions(self, serving: Serving, codec: MakesCodec) -> Versions | None:
        """The declared versions, ``None`` where there are none."""
        config = self.config.versions
        if config is None:
            return None
        bindings = [binding for _, binding in _bound(serving)]
        from covet_http._versions._plan import Versions

        return Versions(config, serving.collect("covet_http_version_changes"), bindings, codec)

    def _codecs(self, serving: Serving) -> list[tuple[str, MediaCodec]]:
        """The encodings besides JSON, each with who asks for it."""
        found = list(serving.collect("covet_http_codecs"))
        if self.config.message_pack:
            found.append(("plugins.http.message_pack", MessagePack()))
        return found

    async def _serve(
        self,
        serving: Serving,
        listener: HttpListener,
        mounts: Mounts,
        ctx: Context,
        sockets: Sequence[socket.socket],
        urls: tuple[str, ...],
    ) -> None:
        application = self._next
        assert application is not None
        failures = await mounts.begin(self._mounted)
        if failures and serving.number == 1:
            raise ExceptionGroup("mounted applications did not start", failures)
        for failure in failures:
            # A reload must not end what is served; here it is too late to undo it.
            ctx.log.error("%s", failure, exc_info=failure.__cause__)
        listener.begin(application)
        if serving.number == 1 and urls:
            ctx.log.info("listening on %s", ", ".join(urls))
        ctx.emit("http.serving", urls=urls, phase=serving.number)
        async with anyio.create_task_group() as watching:
            watching.start_soon(application.watchers.run)
            watching.start_soon(application.run_websockets)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(application.events.run)
                await serving.draining.wait()
                tasks.cancel_scope.cancel()
            if serving.stopping:
                keep_newcomers_away(sockets)
            application.events.drain()
            application.drain_websockets(stopping=serving.stopping)
            ending = listener.stop if serving.stopping else listener.pause
            try:
                await ending()
            except anyio.get_cancelled_exc_class():
                application.shut_down()
                with anyio.move_on_after(_LAST_WORDS, shield=True):
                    await ending()
                raise
            watching.cancel_scope.cancel()


def _bound(serving: Serving) -> list[tuple[Operation, HttpBinding]]:
    return [
        (operation, binding)
        for operation in serving.operations
        for binding in operation.bindings
        if isinstance(binding, HttpBinding)
    ]


def _codec(
    codec: MakesCodec,
    contract: Contract | None,
    operation: Operation,
    signature: Signature,
    binding: HttpBinding,
) -> Codec[Request]:
    if isinstance(binding, WholeBinding):
        return whole_codec(binding)
    made = codec(operation, signature, binding)
    return made if contract is None else contract.codec(made, signature, binding)


def route(
    endpoints: Sequence[Endpoint[HttpBinding]],
    problems: Problems,
    serving: Serving,
    fixed: Iterable[tuple[str, Fixed]] = (),
    mounts: Iterable[tuple[str, Mount]] = (),
    versioned: VersionedRoutes | None = None,
    make: MakesRoute = Route,
    websockets: WebSockets | None = None,
) -> tuple[Router[Target], list[tuple[str, Mounted]]]:
    """Put endpoints, fixed answers and applications, each with who declared it, into a router.

    Returns:
        The router, and what is mounted in it.

    Args:
        endpoints: The compiled operations.
        problems: Renders errors.
        serving: Knows who declared them.
        fixed: The fixed answers.
        mounts: The applications.
        versioned: Takes the endpoints that have a version.
        make: Makes the route of an endpoint.
        websockets: Has paths that answer nothing but handshakes.

    Raises:
        ConfigurationError: Two of them have one method and path; several conflicts as one group.
    """
    routes: Router[Target] = Router()
    conflicts: list[ConfigurationError] = []
    for endpoint in endpoints:
        binding, operation = endpoint.binding, endpoint.operation
        owner = serving.owner(operation)
        where: dict[str, Any] = {
            "types": _types(binding, endpoint.signature),
            "owner": f"{operation.name} ({owner})" if owner else operation.name,
            "place": _place(operation),
        }
        try:
            if versioned is None or not binding.version:
                target = make(endpoint, problems)
                routes.add(binding.method, binding.path, target, host=binding.host, **where)
            else:
                versioned.add(routes, endpoint, **where)
        except ConfigurationError as error:
            conflicts.append(error)
    if versioned is not None and endpoints:
        conflicts += versioned.finish(routes)
    for owner, each in fixed:
        try:
            add_fixed(routes, each, owner, problems.common)
        except ConfigurationError as error:
            conflicts.append(error)
    mounted = []
    for owner, declared in mounts:
        try:
            mounted.append((owner, add_mount(routes, declared, owner)))
        except ConfigurationError as error:
            conflicts.append(error)
    if websockets is not None:
        websockets.explain(routes)
    routes.share()
    if len(conflicts) == 1:
        raise conflicts[0]
    if conflicts:
        raise ExceptionGroup("routes are in each other's way", conflicts)
    return routes, mounted


def _types(binding: HttpBinding, signature: Signature) -> list[Any]:
    """The types of a path's parameters, in their order."""
    types = {given.name: plain(given.type) for given in signature.inputs}
    return [types.get(name) for name in binding.parameters]


def _place(operation: Operation) -> str:
    code = getattr(inspect.unwrap(operation.handler), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else operation.name


def choose_server(wanted: str, servers: Mapping[str, Sequence[EntryPoint]]) -> str:
    """The id of the server plugin to use.

    For ``"auto"`` that is the native engine if it is installed and can run here, else the portable
    server; a line in the log says why the engine was passed over.

    Args:
        wanted: ``"auto"`` or an id.
        servers: The entry points of those that are installed.

    Raises:
        ConfigurationError: None is installed, not this one, or it cannot run here.
    """
    if wanted == OUTER:
        return wanted
    if wanted == "auto":
        passed_over = ""
        others = list(servers) if len(servers) == 1 else []
        for name in (_ENGINE, _PORTABLE, *others):
            if name in servers:
                passed_over = unusable(servers[name])
                if not passed_over:
                    return name
                _tell(name, passed_over)
        problem = passed_over or "no HTTP server is installed that 'auto' could take"
    elif wanted in servers:
        problem = unusable(servers[wanted])
        if not problem:
            return wanted
        problem = f"the HTTP server {wanted!r} cannot run here: {problem}"
    else:
        problem = f"the HTTP server {wanted!r} is not installed"
    raise ConfigurationError(
        "COVET-HTTP-SERVER-UNKNOWN",
        f"{problem}.",
        place="plugins.http.server",
        valid=["auto", *sorted(servers)],
        given=wanted if wanted != "auto" else "",
        fix="Install one: pip install covet-hypercorn.",
    )


@cache
def _tell(name: str, problem: str) -> None:
    """Once, however often the question is asked."""
    log.warning("the HTTP server %r is not used: %s", name, problem)


def unusable(points: Sequence[EntryPoint]) -> str:
    """Why a server cannot run here, ``""`` if it can.

    A server plugin may say so by a class method ``unusable``, which loads what it needs. One without
    it, such as the portable server, is not even imported for the question.
    """
    for point in points:
        if point.name == _PORTABLE:
            return ""
        try:
            ask = getattr(point.load(), "unusable", None)
        except Exception as error:
            return f"{point.value} cannot be imported: {error}"
        return str(ask()) if ask is not None else ""
    return "nothing provides it"


def _without_tls(server: HttpServer) -> ConfigurationError:
    from covet_http._tls import tls_unsupported

    return tls_unsupported(
        "",
        f"TLS is configured, and the HTTP server {type(server).__name__!r} does not speak it",
        "Use covet-engine or covet-hypercorn, or leave the table out and have a proxy speak TLS.",
    )


def _url(bound: socket.socket, scheme: str) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
