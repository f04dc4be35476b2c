"""Writes for an HTTP/2 connection: what is said in one turn of the event loop leaves at once.

Those who answer never write themselves. A write costs more than most of what it carries, and one that was
cancelled in the middle would lose frames on which those of other streams build.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.lowlevel

# What may wait for a write, in bytes and in pieces, before whoever says more waits too.
_BYTES: Final = 65_536
_PIECES: Final = 32


class Writer:
    """Runs beside a connection's reader.

    Args:
        flush: Writes all that was said; waits while the client is slow.
    """

    __slots__ = ("_bytes", "_flush", "_left", "_over", "_pieces", "_wake", "_wanted")

    def __init__(self, flush: Callable[[], Awaitable[None]]) -> None:
        self._flush = flush
        self._wanted = self._over = False
        self._wake: anyio.Event | None = None
        self._left: anyio.Event | None = None
        self._bytes = self._pieces = 0

    async def run(self) -> None:
        """Write until it is stopped, and what was said by then."""
        while self._wanted or not self._over:
            if not self._wanted:
                self._wake = anyio.Event()
                await self._wake.wait()
                self._wake = None
            left, self._left = self._left, None
            self._wanted = False
            self._bytes = self._pieces = 0
            await self._flush()
            if left is not None:
                left.set()

    def soon(self) -> None:
        """Have what was said leave in this turn of the event loop, or the next."""
        self._wanted = True
        if self._wake is not None:
            self._wake.set()

    async def said(self, size: int) -> None:
        """The same for a piece of so many bytes; waits while much is still to leave."""
        self._bytes += size
        self._pieces += 1
        self.soon()
        if (self._bytes < _BYTES and self._pieces < _PIECES) or self._over:
            # A handler that does nothing but send has to notice that it was cancelled.
            await anyio.lowlevel.checkpoint_if_cancelled()
            return
        if self._left is None:
            self._left = anyio.Event()
        await self._left.wait()

    def stop(self) -> None:
        """Write no more than was said; nobody waits any longer."""
        self._over = True
        if self._wake is not None:
            self._wake.set()
