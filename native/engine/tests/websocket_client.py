"""A client of WebSocket on either event loop: websockets' protocol without I/O, over any stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.abc
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri
from wire import PATIENCE

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)


def frame(first: int, payload: bytes = b"", key: bytes = b"\x11\x22\x33\x44") -> bytes:
    """A client's frame; ``first`` is its first byte."""
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0x80 | 127]) + size.to_bytes(8, "big")
    masked = bytes(byte ^ key[i & 3] for i, byte in enumerate(payload))
    return head + key + masked


class Client:
    """One connection.

    Attributes:
        response: To the handshake.
        protocol: What websockets makes of the bytes.
        stream: Carries them.
    """

    def __init__(self, stream: anyio.abc.ByteStream, protocol: ClientProtocol) -> None:
        self.stream = stream
        self.protocol = protocol
        self.response: Response
        self._frames: list[Frame] = []

    async def open(self, headers: Sequence[tuple[str, str]] = ()) -> Response:
        """Do the handshake; what was answered, whatever it is."""
        asked = self.protocol.connect()
        for name, value in headers:
            asked.headers[name] = value
        self.protocol.send_request(asked)
        await self.flush()
        while True:
            for event in self.protocol.events_received():
                if isinstance(event, Response):
                    self.response = event
                    return event
            await self.pull()

    async def flush(self) -> None:
        """Send what the protocol wants to send."""
        for data in self.protocol.data_to_send():
            if data:
                await self.stream.send(data)

    async def pull(self) -> None:
        """Receive some bytes, and answer what has to be answered."""
        with anyio.fail_after(PATIENCE):
            try:
                self.protocol.receive_data(await self.stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self.protocol.receive_eof()
        with suppress(anyio.BrokenResourceError):
            await self.flush()

    async def frame(self) -> Frame:
        """The next frame; the last one is the close."""
        while True:
            self._frames += [e for e in self.protocol.events_received() if isinstance(e, Frame)]
            if self._frames:
                return self._frames.pop(0)
            if self.protocol.close_expected() and self.protocol.state.name == "CLOSED":
                raise EOFError
            if self.protocol.state.name == "CLOSED":
                raise EOFError
            await self.pull()

    async def receive(self) -> str | bytes:
        """The next message."""
        pieces: list[bytes] = []
        text = False
        while True:
            found = await self.frame()
            if found.opcode in (Opcode.PING, Opcode.PONG):
                continue
            if found.opcode is Opcode.CLOSE:
                raise EOFError
            if found.opcode is not Opcode.CONT:
                text = found.opcode is Opcode.TEXT
            pieces.append(bytes(found.data))
            if found.fin:
                whole = b"".join(pieces)
                return whole.decode() if text else whole

    async def send(self, message: str | bytes) -> None:
        """Send a message in one frame."""
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        await self.flush()

    async def send_pieces(self, pieces: Sequence[bytes], *, text: bool = False) -> None:
        """Send a message in fragments."""
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            if number:
                self.protocol.send_continuation(piece, fin=last)
            elif text:
                self.protocol.send_text(piece, fin=last)
            else:
                self.protocol.send_binary(piece, fin=last)
            await self.flush()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the server's answer and its end of the connection."""
        self.protocol.send_close(code, reason)
        await self.flush()
        await self.ended()

    async def ended(self) -> tuple[int, str]:
        """Wait for the end of the connection; code and reason of the server's close frame."""
        while self.protocol.state.name != "CLOSED":
            await self.pull()
        said = self.protocol.close_rcvd
        return (said.code, said.reason) if said is not None else (1006, "")


def protocol(path: str = "/ws", *, deflate: bool = False, **more: Any) -> ClientProtocol:
    """A protocol for one connection."""
    extensions = [ClientPerMessageDeflateFactory()] if deflate else None
    uri = parse_uri(f"ws://a{path}")
    return ClientProtocol(uri, extensions=extensions, max_size=None, **more)


@asynccontextmanager
async def connecting(port: int, path: str = "/ws", **more: Any) -> AsyncIterator[Client]:
    """A connection by TCP, before its handshake."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        yield Client(stream, protocol(path, **more))


@asynccontextmanager
async def opened(port: int, path: str = "/ws", **more: Any) -> AsyncIterator[Client]:
    """A WebSocket that is open."""
    headers = more.pop("headers", ())
    async with connecting(port, path, **more) as client:
        response = await client.open(headers)
        assert response.status_code == 101, response
        yield client
