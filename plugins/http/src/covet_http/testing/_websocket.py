"""WebSockets in memory: through the server's own handshake and frames, without a socket."""

from __future__ import annotations

import os
from base64 import b64encode
from contextlib import suppress
from hashlib import sha1
from typing import Any, Final, Self

import anyio
from pydantic_core import from_json, to_json

from covet_http._websocket._closed import WebSocketClosed
from covet_http.testing._answer import Answer
from covet_http.testing._connection import Connection
from covet_http.testing._frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameReader,
    frame_of,
)
from covet_http.testing._headers import Headers
from covet_http.testing._read import Head, WireError

_MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LEFT: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)
_ABNORMAL: Final = 1006
_NO_STATUS: Final = 1005
_DEFLATE: Final = "permessage-deflate"


class HandshakeRefused(Exception):
    """The server has answered a handshake with something else than a WebSocket.

    Attributes:
        answer: What it said.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"the handshake was answered {answer.status}")
        self.answer = answer


class WebSocketSession:
    """A client's WebSocket. Pings are answered while somebody receives.

    Attributes:
        connection: Its bytes; what `Connection.send` sends goes past everything here.
        headers: Of the answer to the handshake.
        close_code: Of the end, ``None`` while there is none that was received.
        close_reason: What the server said with it.
        answers_pings: Whether pings are answered.
        pings: What was in pings that came.
        pongs: What was in pongs that came.
    """

    def __init__(self, connection: Connection, head: Head, timeout: float) -> None:
        self.connection = connection
        self.headers: Headers = head.headers
        self.close_code: int | None = None
        self.close_reason = ""
        self.answers_pings = True
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self._timeout = timeout
        self._reader = FrameReader(deflate=self.deflates)
        self._closing = False

    @property
    def subprotocol(self) -> str | None:
        """The one that the server chose."""
        return self.headers.get("sec-websocket-protocol")

    @property
    def deflates(self) -> bool:
        """Whether messages may be compressed."""
        return _DEFLATE in self.headers.get("sec-websocket-extensions", "")

    async def send(self, message: str | bytes) -> None:
        """Send a message: text for ``str``."""
        if isinstance(message, str):
            await self.send_frame(TEXT, message.encode())
        else:
            await self.send_frame(BINARY, message)

    async def send_json(self, value: Any) -> None:
        """Send a value as JSON text."""
        await self.send(to_json(value).decode())

    async def send_frame(self, opcode: int, payload: bytes = b"", **parts: Any) -> None:
        """Send one frame, also one that no client should; see `frame_of` for its parts."""
        await self.connection.send(frame_of(opcode, payload, **parts))

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            WebSocketClosed: The server has closed, or ended the connection.
            WireError: What came is no frame of a server's.
            TimeoutError: The client's timeout has passed.
        """
        pieces: list[bytes] = []
        kind = None
        with anyio.fail_after(self._timeout):
            while True:
                opcode, payload, final = await self.frame()
                if opcode in (PING, PONG):
                    continue
                if (opcode == CONTINUATION) == (kind is None):
                    raise WireError("a fragment belongs to no message, or a message to none")
                kind = kind or opcode
                pieces.append(payload)
                if final:
                    break
        whole = b"".join(pieces)
        return whole.decode() if kind == TEXT else whole

    async def receive_json(self) -> Any:
        """The next message as JSON."""
        return from_json(await self.receive())

    def __aiter__(self) -> Self:
        """The messages until the server closes."""
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None

    async def frame(self) -> tuple[int, bytes, bool]:
        """The next frame but a close: opcode, payload and whether it is final.

        Raises:
            WebSocketClosed: It was one, which is answered, or the connection has ended.
        """
        while self.close_code is None:
            found = self._reader.frame()
            if found is None:
                try:
                    data = await self.connection.receive()
                except _LEFT:
                    data = b""
                if not data:
                    self.close_code = _ABNORMAL
                self._reader.feed(data)
                continue
            opcode, payload, final = found
            if opcode == CLOSE:
                await self._closed(payload)
                break
            if opcode == PING:
                self.pings.append(payload)
                if self.answers_pings:
                    await self.send_frame(PONG, payload)
            elif opcode == PONG:
                self.pongs.append(payload)
            return opcode, payload, final
        code = self.close_code or _ABNORMAL
        raise WebSocketClosed("", close_code=code, reason=self.close_reason)

    async def _closed(self, payload: bytes) -> None:
        self.close_code = int.from_bytes(payload[:2], "big") if payload else _NO_STATUS
        self.close_reason = payload[2:].decode()
        await self._say_close(payload)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the server's answer; what comes before that is dropped."""
        await self._say_close(code.to_bytes(2, "big") + reason.encode())
        async for _ in self:
            pass

    async def _say_close(self, payload: bytes) -> None:
        if not self._closing:
            self._closing = True
            # The server may have closed, or be gone, without waiting for that.
            with suppress(*_LEFT):
                await self.send_frame(CLOSE, payload)

    async def ended(self) -> None:
        """Return when the server has ended the connection; what comes before that is dropped."""
        with anyio.fail_after(self._timeout), suppress(*_LEFT):
            # A server that has closed waits a moment for what is on its way.
            await self.connection.send_eof()
            while await self.connection.receive():
                pass


def handshake_headers(
    subprotocols: tuple[str, ...], *, deflate: bool
) -> tuple[dict[str, str], str]:
    """The headers of a handshake, and what has to be in ``Sec-WebSocket-Accept``."""
    key = b64encode(os.urandom(16)).decode("ascii")
    headers = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": key,
        "sec-websocket-version": "13",
    }
    if subprotocols:
        headers["sec-websocket-protocol"] = ", ".join(subprotocols)
    if deflate:
        headers["sec-websocket-extensions"] = f"{_DEFLATE}; client_max_window_bits"
    digest = sha1((key + _MAGIC).encode("ascii"), usedforsecurity=False).digest()
    return headers, b64encode(digest).decode("ascii")
