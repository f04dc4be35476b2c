"""ASGI applications under a prefix, started and stopped with the service."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import anyio

from covet_http._lifespan import StartupFailedError, asgi_lifespan
from covet_http._server import Application, Message, Receive, Scope, Send
from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_kernel import ConfigurationError, LifecycleError
from covet_kernel.contracts import Cause, Record

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from covet_http._dispatch import Target
    from covet_http._router import Router

log = logging.getLogger("covet.http")

Refuse: TypeAlias = Callable[[int, bytes], Awaitable[None]]
"""Answers with a status and a text."""

_CODE: Final = "COVET-HTTP-MOUNT-INVALID"
_PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
_FAILED: Final = (500, b"Internal Server Error")
_STOPPED: Final = (503, b"Service Unavailable")


class Mount(Record):
    """An ASGI application and where it is found, for ``covet_http_mounts``; usually of `mount`.

    Attributes:
        prefix: Before all of its paths; empty: it gets whatever nothing else answers.
        application: An ASGI 3 application.
        start_timeout: Seconds its lifespan may take to start.
        stop_timeout: Seconds its lifespan may take to stop.
    """

    prefix: str
    application: Application
    start_timeout: float = 30.0
    stop_timeout: float = 30.0


def mount(
    prefix: str,
    application: Application,
    *,
    start_timeout: float = 30.0,
    stop_timeout: float = 30.0,
) -> Mount:
    """Put an ASGI application under a prefix, for ``covet_http_mounts``.

    It is started by ASGI's lifespan protocol before the first request is taken, and stopped when the
    last one is answered. Routes of the service under the prefix come first.

    Args:
        prefix: Without parameters and without a slash at its end; ``"/"``: everything that nothing
            else answers.
        application: Of Starlette, FastAPI, Django or any other, called as ASGI 3 says.
        start_timeout: Seconds its lifespan may take to start.
        stop_timeout: Seconds its lifespan may take to stop.

    Raises:
        ConfigurationError: The prefix is none, or the application cannot be called.
    """
    prefix = "" if prefix == "/" else prefix
    try:
        segments = parse_template(prefix) if prefix else ()
        if any(isinstance(each, Parameter) for each in segments):
            raise BadTemplateError("a prefix of an application has no parameters")
        if prefix.endswith("/"):
            raise BadTemplateError("a prefix does not end with '/'")
    except BadTemplateError as error:
        raise ConfigurationError(
            _CODE,
            f"{prefix!r} is no prefix for an application: {error}.",
            fix="Write it like '/legacy'.",
        ) from None
    if not callable(application):
        raise ConfigurationError(
            _CODE,
            f"{application!r} at {prefix or '/'} is no ASGI application: it cannot be called.",
            fix="Give the application itself, not its name.",
        )
    return Mount(
        prefix=prefix,
        application=application,
        start_timeout=start_timeout,
        stop_timeout=stop_timeout,
    )


class Mounted:
    """What the router finds under a prefix: calls the application as ASGI has it of a mounted one.

    Attributes:
        state: What its lifespan has put into ``scope["state"]``; ``None`` if it has no lifespan.
        failed: Whether it could not start, and is answered for with 503.
    """

    def __init__(self, declared: Mount) -> None:
        self.declared = declared
        self.state: dict[str, Any] | None = None
        self.failed = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if self.failed:
            return self._unavailable(scope, send)
        root = scope.get("root_path", "").rstrip("/")
        path = scope["path"]
        if root and not path.startswith(root):
            path = root + path
        headers = scope["headers"]
        if any(b"_" in name for name, _ in headers):
            # To an application behind CGI's names, such as WSGI's, 'X_Forwarded_For' would be the
            # 'X-Forwarded-For' that a proxy vouches for.
            headers = [line for line in headers if b"_" not in line[0]]
        scope = {
            **scope, "root_path": root + self.declared.prefix, "path": path, "headers": headers,
        }  # fmt: skip
        if self.state is not None:
            scope["state"] = {**scope.get("state", {}), **self.state}
        return self.declared.application(scope, receive, send)

    @staticmethod
    async def _unavailable(scope: Scope, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1013, "reason": ""})
        else:
            await _answer(send, _STOPPED)


class MountedCall:
    """One request to a mounted application, where a server calls covet-http by ASGI."""

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()
        self._started = False
        self._complete = False

    def cancel(self, cause: Cause) -> None:
        """End it; it is answered 503 if it was not answered yet."""
        self._scope.cancel()

    async def run(
        self,
        mounted: Mounted,
        scope: Scope,
        receive: Receive,
        send: Send,
        refuse: Refuse | None = None,
    ) -> None:
        """Have the application answer.

        Args:
            mounted: The application.
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.
            refuse: Answers for it where it failed or was stopped before it had begun to; unless given,
                as over HTTP.

        Raises:
            Exception: What it raised after its answer had begun, which must not look complete.
        """
        trailers = False

        async def forward(message: Message) -> None:
            nonlocal trailers
            self._started = True
            trailers = trailers or bool(message.get("trailers", False))
            await send(message)
            if message["type"] == ("http.response.trailers" if trailers else "http.response.body"):
                more = "more_trailers" if trailers else "more_body"
                self._complete = not message.get(more, False)

        answer = _STOPPED
        try:
            with self._scope:
                await mounted(scope, receive, forward)
                return
        except Exception:
            if self._started:
                raise
            log.exception("the application at %s failed", mounted.declared.prefix or "/")
            answer = _FAILED
        if self._complete:
            # It has said the rest although it was stopped.
            return
        if self._started:
            raise RuntimeError("the application was stopped in the middle of its answer")
        if refuse is None:
            await _answer(send, answer)
        else:
            await refuse(*answer)


async def _answer(send: Send, answer: tuple[int, bytes]) -> None:
    status, body = answer
    headers = [_PLAIN, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def add_mount(routes: Router[Target], given: Mount, owner: str) -> Mounted:
    """Put an application into a router.

    Raises:
        ConfigurationError: Another one has this prefix, or this is no `Mount`.
    """
    if not isinstance(given, Mount):
        raise ConfigurationError(
            _CODE,
            f"{owner} declares {given!r}, which is no mounted application.",
            place="covet_http_mounts",
            fix="Declare what http.mount returns.",
        )
    mounted = Mounted(given)
    routes.add_everything(given.prefix, mounted, owner=owner, place="covet_http_mounts")
    return mounted


class Mounts:
    """The mounted applications that are started: one task each, whatever the phase."""

    def __init__(self) -> None:
        self._lives: dict[int, _Life] = {}
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        with anyio.CancelScope(shield=True):
            await self._stop(self._lives)
        return await self._tasks.__aexit__(kind, error, trace)

    async def begin(self, wanted: Sequence[tuple[str, Mounted]]) -> list[LifecycleError]:
        """Start what is new in a phase, and stop what is no longer there.

        Args:
            wanted: The applications, with who declares each.

        Returns:
            Why some could not start.
        """
        self._lives = {key: life for key, life in self._lives.items() if life.failure is None}
        here = {id(mounted.declared.application) for _, mounted in wanted}
        await self._stop(self._lives.keys() - here)
        for owner, mounted in wanted:
            key = id(mounted.declared.application)
            if key not in self._lives:
                self._lives[key] = life = _Life(mounted.declared, owner)
                self._tasks.start_soon(life.run, name=f"covet mount {mounted.declared.prefix}")
        failures: list[LifecycleError] = []
        for _, mounted in wanted:
            life = self._lives[id(mounted.declared.application)]
            await life.started.wait()
            mounted.state = life.state
            if life.failure is not None:
                mounted.failed = True
                if life.failure not in failures:
                    failures.append(life.failure)
        return failures

    async def _stop(self, keys: Iterable[int]) -> None:
        lives = [self._lives.pop(key) for key in list(keys)]
        for life in lives:
            life.stop.set()
        for life in lives:
            await life.stopped.wait()


class _Life:
    """One application from its start to its stop."""

    def __init__(self, declared: Mount, owner: str) -> None:
        # Kept, so that its identity is nobody else's.
        self._declared = declared
        self._owner = owner
        self.state: dict[str, Any] | None = None
        self.failure: LifecycleError | None = None
        self.started = anyio.Event()
        self.stop = anyio.Event()
        self.stopped = anyio.Event()

    async def run(self) -> None:
        """Its task: shielded, so that it stops as politely as it started."""
        try:
            with anyio.CancelScope(shield=True):
                await self._live()
        finally:
            self.started.set()
            self.stopped.set()

    async def _live(self) -> None:
        declared = self._declared
        patience = anyio.CancelScope(deadline=anyio.current_time() + declared.start_timeout)
        try:
            with patience:
                async with asgi_lifespan(
                    declared.application, timeout=declared.stop_timeout
                ) as self.state:
                    patience.deadline = float("inf")
                    self.started.set()
                    await self.stop.wait()
        except StartupFailedError as error:
            self.failure = self._failed(str(error), error.__cause__)
        if patience.cancelled_caught:
            reason = f"its lifespan took longer than {declared.start_timeout:g} s"
            self.failure = self._failed(reason, None)

    def _failed(self, reason: str, cause: BaseException | None) -> LifecycleError:
        where = self._declared.prefix or "/"
        error = LifecycleError(
            "COVET-HTTP-MOUNT-FAILED",
            f"the application that {self._owner} mounts at {where} did not start: {reason}.",
            place="covet_http_mounts",
            fix="See what it logged, or take the mount away.",
        )
        error.__cause__ = cause
        return error
