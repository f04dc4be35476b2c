"""A connection without a socket: two streams, each of which receives what the other sends."""

from __future__ import annotations

from collections import deque

import anyio
import anyio.abc
import anyio.lowlevel

# What a sender may be ahead of its receiver, in bytes: about what a socket's buffers hold.
_WINDOW = 1 << 16


class _Way:
    """One direction: pieces that were sent and not yet received."""

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.size = 0
        self.ended = False
        self.broken = False
        self._waiting: list[anyio.Event] = []

    async def changed(self) -> None:
        event = anyio.Event()
        self._waiting.append(event)
        await event.wait()

    def change(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()


class MemoryStream(anyio.abc.ByteStream):
    """One side of a connection; made in pairs by `pair`.

    Each piece that is sent is received as one, so that a client decides what a read returns.
    """

    def __init__(self, into: _Way, out: _Way) -> None:
        self._into = into
        self._out = out
        self._closed = False

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        way = self._out
        while not self._closed and not way.broken and way.size >= _WINDOW:
            await way.changed()
        if self._closed or way.ended:
            raise anyio.ClosedResourceError
        if way.broken:
            raise anyio.BrokenResourceError
        if item:
            way.pieces.append(bytes(item))
            way.size += len(item)
            way.change()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        way = self._into
        while not way.pieces:
            if self._closed:
                raise anyio.ClosedResourceError
            if way.ended:
                raise anyio.EndOfStream
            await way.changed()
        piece = way.pieces.popleft()
        if len(piece) > max_bytes:
            way.pieces.appendleft(piece[max_bytes:])
            piece = piece[:max_bytes]
        way.size -= len(piece)
        way.change()
        return piece

    async def send_eof(self) -> None:
        self._out.ended = True
        self._out.change()
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self._closed = True
        self._out.ended = True
        self._into.broken = True
        self._into.change()
        self._out.change()
        await anyio.lowlevel.checkpoint()


def pair() -> tuple[MemoryStream, MemoryStream]:
    """Both sides of a new connection."""
    one, other = _Way(), _Way()
    return MemoryStream(one, other), MemoryStream(other, one)
