"""The handshake: whether it is one (RFC 6455, 4.2.1), and the request that a handler sees."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

from covet_http._asgi_request import AsgiRequest
from covet_http._request import Limits, Request, find_header
from covet_http._server import Receive, Scope, Send
from covet_http._websocket._socket import WebSocket

if TYPE_CHECKING:
    from covet_http._websocket._route import WebSocketRoute

Lines = Sequence[tuple[bytes, bytes]]

_VERSION: Final = b"13"
_KEPT: Final = ("client", "extensions", "headers", "query_string", "scheme")
_KEY: Final = 16
# Each list is short, and matched from left to right without going back.
_TOKENS = re.compile(
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}(?:[ \t]{0,8},[ \t]{0,8}[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}){0,63}\Z"
)


class HandshakeRequest(Request):
    """The request that asks for a WebSocket: a GET without a body.

    Attributes:
        websocket: What it becomes.
        websocket_route: Where it was found.
    """

    __slots__ = ()

    websocket_route: ClassVar[WebSocketRoute]
    websocket: WebSocket


class AsgiHandshake(AsgiRequest, HandshakeRequest):
    """A handshake by an ASGI scope of the type ``"websocket"``."""

    __slots__ = ()

    method: ClassVar[str] = "GET"  # type: ignore[misc]
    head_only: ClassVar[bool] = False  # type: ignore[misc]

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, path: str, values: Sequence[str]
    ) -> None:
        # It is held for as long as there is a WebSocket: no more of it than a request reads.
        kept = {key: scope[key] for key in _KEPT if key in scope}
        super().__init__(kept, _unused, _unused, path, values)
        self._ended = True

    @property
    def secure(self) -> bool:  # type: ignore[override]
        return self._scope.get("scheme") in ("https", "wss")

    def header(self, name: bytes) -> bytes | None:
        # Few are asked for, and a table of them would be kept as long as the WebSocket is.
        return find_header(self._scope["headers"], name)

    async def read(self) -> bytes:
        return b""

    @property
    def buffered(self) -> bytes:
        return b""

    def body_soon(self, limit: int | None = None) -> bytes:
        return b""

    async def send(self, item: Any) -> None:
        raise TypeError("a WebSocket has no stream out: send by its 'WebSocket'")


def handshake_class(route: WebSocketRoute, limits: Limits) -> type[AsgiHandshake]:
    """The class of one route's handshakes."""
    return type(
        "AsgiHandshake",
        (AsgiHandshake,),
        {
            "__slots__": (),
            "__module__": __name__,
            "binding": route.binding,
            "limits": limits,
            "operation": route.operation,
            "route": route,
            "websocket_route": route,
            "timeout": route.endpoint.timeout,
        },
    )


def wants_websocket(headers: Lines) -> bool:
    """Whether a request over HTTP/1.1 asks for a WebSocket, well or badly."""
    return any(
        name == b"upgrade"
        and b"websocket" in [each.strip(b" \t").lower() for each in value.split(b",")]
        for name, value in headers
    )


def judge_handshake(method: str, version: str, headers: Lines) -> tuple[int, Lines]:
    """Whether a request that asks for a WebSocket can have one.

    Args:
        method: As sent.
        version: Of HTTP; ``"2"`` for an extended CONNECT (RFC 8441), whose ``:protocol`` has been seen.
        headers: With lower-case names.

    Returns:
        The status to refuse it with and headers that go with that, ``0`` if it is sound.
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _ONCE and name in found:
            return HTTPStatus.BAD_REQUEST, ()
        found[name] = found[name] + b"," + value if name in found else value
    if b"transfer-encoding" in found or found.get(b"content-length", b"0") != b"0":
        return HTTPStatus.BAD_REQUEST, ()
    if version == "1.1":
        if method != "GET" or b"upgrade" not in _tokens(found.get(b"connection", b"")):
            return HTTPStatus.BAD_REQUEST, ()
        if not _is_key(found.get(b"sec-websocket-key", b"")):
            return HTTPStatus.BAD_REQUEST, ()
    elif version == "1.0":
        return HTTPStatus.BAD_REQUEST, ()
    if found.get(b"sec-websocket-version") != _VERSION:
        return HTTPStatus.UPGRADE_REQUIRED, (
            (b"sec-websocket-version", _VERSION),
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
        )
    offered = found.get(b"sec-websocket-protocol")
    if offered is not None and not _TOKENS.match(offered):
        return HTTPStatus.BAD_REQUEST, ()
    return 0, ()


async def _unused(*message: Any) -> Any:
    """In place of ASGI's ``receive`` and ``send``, which are the channel's."""
    raise RuntimeError("messages come and go by the channel")


_ONCE: Final = frozenset(
    (b"sec-websocket-key", b"sec-websocket-version", b"origin", b"host", b"content-length")
)


def _tokens(value: bytes) -> list[bytes]:
    return [each.strip(b" \t").lower() for each in value.split(b",")]


def _is_key(value: bytes) -> bool:
    try:
        return len(b64decode(value, validate=True)) == _KEY
    except (binascii.Error, ValueError):
        return False
