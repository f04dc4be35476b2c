"""One connection to the server under test: bytes in, answers out, and every way to break off."""

from __future__ import annotations

from typing import Self

import anyio
import anyio.abc
import anyio.lowlevel

from covet_http.testing._answer import Answer
from covet_http.testing._headers import Headers
from covet_http.testing._read import AnswerReader, Head, WireError

# Turns of the event loop between two pieces of a request that is split: bytes have arrived, and
# whoever waits for them has run.
_TURNS = 3
_READ = 1 << 16


class Disconnected(Exception):
    """The client has broken off where ``disconnect_after`` told it to."""


class Connection:
    """One connection. Whoever calls says what is sent, also what no client should send.

    Attributes:
        stream: What carries the bytes, under TLS if there is any.
        used: Requests whose answers have been read.
        complete: Whether the answer has been read whose request was sent last.
        closes: Whether the server has said that it ends the connection, or has.
    """

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self.stream = stream
        self.used = 0
        self.complete = False
        self.closes = False
        self._reader = AnswerReader()
        self._sent = 0

    async def send(
        self, data: bytes, *, split: int = 0, disconnect_after: int | None = None
    ) -> None:
        """Send these bytes.

        Args:
            data: What to send.
            split: Bytes a piece; between two pieces the server has its turn. 0: all at once.
            disconnect_after: Bytes of this connection, counted from the last `begin`, after which it
                is reset.

        Raises:
            Disconnected: That has happened.
            BrokenResourceError: anyio's: the server has ended the connection.
        """
        view = memoryview(data)
        if disconnect_after is not None:
            view = view[: max(0, disconnect_after - self._sent)]
        size = split or max(1, len(view))
        for at in range(0, len(view), size):
            await self.stream.send(bytes(view[at : at + size]))
            self._sent += min(size, len(view) - at)
            if split:
                await self.turns(_TURNS)
        if disconnect_after is not None and self._sent >= disconnect_after:
            await self.turns(_TURNS)
            with anyio.CancelScope(shield=True):
                await self.reset()
            raise Disconnected(f"after {self._sent} bytes, as it was told to")

    def begin(self) -> None:
        """A request begins: ``disconnect_after`` counts from here."""
        self._sent = 0
        self.complete = False

    async def is_alive(self) -> bool:
        """Whether the server has not ended the connection while it waited for a request.

        Raises:
            WireError: The server has sent something that nobody asked for.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._more)
            await self.turns(_TURNS)
            tasks.cancel_scope.cancel()
        if self._reader.waiting:
            raise WireError(f"bytes that nobody asked for: {self._reader.waiting!r}")
        return not self.closes

    @staticmethod
    async def turns(count: int) -> None:
        """Let everybody else run this many times."""
        for _ in range(count):
            await anyio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        """Whatever comes next, raw; empty when the server has ended the connection."""
        waiting = self._reader.take()
        if waiting or self._reader.ended:
            return waiting
        await self._more()
        return self._reader.take()

    async def until_closed(self) -> bytes:
        """All that comes until the server ends the connection."""
        while not self._reader.ended:
            await self._more()
        return self._reader.take()

    async def head(self, method: str = "GET") -> Head:
        """The head of the next answer, an interim one (1xx) too.

        Args:
            method: Of the request that is answered.

        Raises:
            WireError: What came is none.
        """
        while (head := self._reader.head(method)) is None:
            await self._more()
        self.closes = self.closes or head.closes
        return head

    async def piece(self) -> bytes:
        """The next piece of the body whose head was read last, empty at its end.

        Raises:
            WireError: The body is cut off, or framed wrongly.
        """
        while (piece := self._reader.body()) is None:
            await self._more()
        if not piece:
            self.used += 1
            self.complete = True
            self.closes = self.closes or self._reader.ended
        return piece

    async def answer(self, method: str = "GET") -> Answer:
        """The next whole answer, an interim one (1xx) too."""
        head = await self.head(method)
        return Answer(head, await self.rest(), self._reader.trailers, method=method)

    async def rest(self) -> bytes:
        """All pieces that are left of the body."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    @property
    def trailers(self) -> Headers:
        """Fields behind the body that was read last."""
        return self._reader.trailers

    async def send_eof(self) -> None:
        """Send no more, and go on reading: half a close."""
        await self.stream.send_eof()

    async def reset(self) -> None:
        """Break off: the server's bytes are no longer taken, and it learns that nobody is there."""
        self.closes = True
        await anyio.aclose_forcefully(self.stream)

    async def aclose(self) -> None:
        """End the connection, with TLS's farewell where it has one."""
        self.closes = True
        await self.stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.reset()

    async def _more(self) -> None:
        try:
            data = await self.stream.receive(_READ)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            data = b""
        self._reader.feed(data)
        self.closes = self.closes or not data
