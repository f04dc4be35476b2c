"""What carries a WebSocket over HTTP/1.1: the whole connection, once it has been switched."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

import h11

if TYPE_CHECKING:
    from covet_hypercorn._connection import Connection
    from covet_hypercorn._h1 import H1

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_SWITCHING: Final = 101

Headers = Sequence[tuple[bytes, bytes]]


class H1Carrier:
    """A `Carrier` of one connection.

    Args:
        connection: Whose.
        protocol: Its state machine, which has seen the handshake.
        key: The client's.
        answering: Writes a plain answer, and closes behind it.
    """

    def __init__(
        self,
        connection: Connection,
        protocol: h11.Connection,
        key: bytes,
        answering: H1,
    ) -> None:
        self._connection = connection
        self._h11 = protocol
        self._key = key
        self._answering = answering

    async def accept(self, headers: Headers) -> int:
        # As RFC 6455 has it: this is no secret.
        digest = sha1(self._key + _MAGIC, usedforsecurity=False).digest()
        lines = [
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
            (b"sec-websocket-accept", b64encode(digest)),
            *headers,
            self._connection.listener.clock.line,
        ]
        head = h11.InformationalResponse(
            status_code=_SWITCHING, headers=lines, reason=b"Switching Protocols"
        )
        await self._connection.write(self._h11.send(head) or b"")
        return _SWITCHING

    async def deny(self, status: int, headers: Headers, body: bytes) -> None:
        await self._answering.deny(status, headers, body)

    async def write(self, data: bytes) -> None:
        await self._connection.write(data)

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        self._connection.spawn(function, *args)

    def finish(self) -> None:
        self._connection.finish()

    def abort(self) -> None:
        self._connection.abort()

    def flooded(self, why: str) -> None:
        self._connection.listener.floods.note(self._connection.client, why)
