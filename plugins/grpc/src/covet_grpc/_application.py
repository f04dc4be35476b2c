"""The ASGI side of one service: covet-http leads all requests under its name here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

from covet_grpc._answer import Answer
from covet_grpc._call import GrpcCall
from covet_grpc._compression import ACCEPTED, COMPRESS, DECOMPRESS, accepts
from covet_grpc._forms import form_of
from covet_grpc._frames import Frames
from covet_grpc._status import OK, status_lines
from covet_grpc._timeout import seconds_of
from covet_http import DISCONNECT
from covet_operations import Invalid, OperationError, Unavailable, Unimplemented

if TYPE_CHECKING:
    from covet_grpc._config import GrpcConfig
    from covet_grpc._metadata import Lines
    from covet_grpc._route import Route
    from covet_grpc._web import Web
    from covet_http import Receive, Scope, Send

Find: TypeAlias = Callable[[bytes], bytes | None]
_OLD_HTTP: Final = ("1.0", "1.1")
_OWN: Final = frozenset(
    (b"content-type", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"origin")
)
_IDENTITY: Final = (None, b"identity")
_ACCEPTED: Final = (b"grpc-accept-encoding", ACCEPTED)
_LAST_WORDS: Final = 1.0
"""Seconds a call that the service ends may take to say so to its caller."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,100}\Z")


class Service:
    """The methods of one service.

    Args:
        name: Its full name.
        routes: By the methods' own names.
        config: Of the plugin.
        web: What gRPC-Web is allowed; ``None``: it is not spoken.
    """

    def __init__(
        self, name: str, routes: Mapping[str, Route], config: GrpcConfig, web: Web | None
    ) -> None:
        self.name = name
        self.routes = dict(routes)
        self._limit = config.max_receive_bytes
        self._encoding = config.compression.encode()
        self._compress = COMPRESS.get(self._encoding)
        self._domain = config.error_domain or name
        self._web = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            # ASGI has an application raise on what it does not speak.
            raise NotImplementedError(f"gRPC is not spoken over {scope['type']!r}")
        said = _said(scope["headers"])
        find = said.get
        web, origin = self._web, find(b"origin")
        if scope["method"] != "POST":
            await _send_refusal(send, *self._not_post(scope, origin))
            return
        form = form_of(find(b"content-type"))
        if form is None or (form.web and web is None):
            await _send_refusal(send, 415, [])
            return
        if not form.web and scope["http_version"] in _OLD_HTTP:
            await _send_refusal(send, 505, [])
            return
        allowed: Lines = [] if web is None or origin is None else web.allowed(origin)
        answer = Answer(form, send, allowed)
        try:
            call = self._call(scope, receive, answer, find)
        except OperationError as error:
            await answer.fail(status_lines(error, self._domain))
        else:
            await _run(call, answer)

    def _call(self, scope: Scope, receive: Receive, answer: Answer, find: Find) -> GrpcCall:
        """The call that a request is.

        Raises:
            OperationError: It is none.
        """
        route = self._route(scope)
        decompress = None
        encoding = find(b"grpc-encoding")
        if encoding not in _IDENTITY:
            decompress = DECOMPRESS.get(encoding)
            if decompress is None:
                answer.head.append(_ACCEPTED)
                raise Unimplemented("the encoding of the messages is not known")
        call = GrpcCall(route, scope, receive, answer, Frames(self._limit, decompress))
        timeout = find(b"grpc-timeout")
        if timeout is not None:
            seconds = seconds_of(timeout)
            if seconds is None:
                raise Invalid("grpc-timeout is malformed")
            call.deadline = anyio.current_time() + seconds
        wanted = find(b"grpc-accept-encoding")
        if self._compress and route.binding.compress and accepts(wanted, self._encoding):
            call.compress = self._compress
            answer.head.append((b"grpc-encoding", self._encoding))
        return call

    def _route(self, scope: Scope) -> Route:
        name = scope["path"][len(scope["root_path"]) + 1 :]
        route = self.routes.get(name)
        if route is None:
            told = f" {name}" if _NAME.match(name) else ""
            raise Unimplemented(f"{self.name} has no method{told}")
        return route

    def _not_post(self, scope: Scope, origin: bytes | None) -> tuple[int, Lines]:
        if scope["method"] == "OPTIONS" and self._web is not None and origin is not None:
            return 204, self._web.preflight(origin)
        return 405, [(b"allow", b"POST")]


async def _run(call: GrpcCall, answer: Answer) -> None:
    """Run a call, and answer it unless its client is gone."""
    route = call.route
    endpoint = route.endpoint
    watch: Any = None
    ours = call.extensions.get(DISCONNECT)
    if ours is not None:
        ours["subscribe"](call.disconnect)
    else:
        watch = call.gone
    try:
        body = await endpoint.run(call, watch=watch)
    except OperationError as error:
        if call.cause != "disconnect":
            lines = status_lines(error, route.domain)
            await answer.fail([*lines, *(call.trailers or ())], call.leading)
        return
    except anyio.get_cancelled_exc_class():
        # The service stops, and cannot wait for this call.
        with anyio.move_on_after(_LAST_WORDS, shield=True):
            stopping = status_lines(Unavailable("the service is stopping"), route.domain)
            await answer.fail([*stopping, *(call.trailers or ())], call.leading)
        raise
    if not answer.started:
        await answer.start(call.leading)
    lines = OK if call.trailers is None else [*OK, *call.trailers]
    await answer.end(b"" if route.streams_out else body, lines)


def _said(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """What the protocol's own headers say; of one that comes twice, the last."""
    return {name: value for name, value in headers if name in _OWN}


async def _send_refusal(send: Send, status: int, headers: Lines) -> None:
    """Answer what is no call."""
    if status != 204:
        headers = [*headers, (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
