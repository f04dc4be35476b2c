"""Waiting on asyncio and uvloop.

This file imports asyncio because anyio's wait for a descriptor costs as much as a whole statement:
the descriptor is registered and forgotten again at each wait, and a task is woken in between. Here
it stays registered, and its callback wakes the tasks whose replies have come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

import anyio

from covet_sql.driver._loop import Reply


class KeptReply:
    """What a task waits for even when it is cancelled.

    The shield that this takes costs several times the wait: it is put up when there is something to
    shield from.
    """

    __slots__ = ("_answered", "_loop", "_result", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answered = False
        self._result: Any = None
        self._wake: asyncio.Future[None] | None = None

    def done(self) -> bool:
        return self._answered

    def set_result(self, result: Any) -> None:
        self._answered = True
        self._result = result
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._answered:
            self._wake = self._loop.create_future()
            try:
                yield from self._wake
            except asyncio.CancelledError:
                yield from self._shielded().__await__()
                # By a scope of anyio's it is cancelled anew at its next wait, and nothing is missed;
                # what asyncio itself has cancelled hears of that only once.
                if anyio.current_effective_deadline() > float("-inf"):
                    raise
        return self._result

    async def _shielded(self) -> None:
        with anyio.CancelScope(shield=True):
            while not self._answered:
                self._wake = self._loop.create_future()
                await self._wake


class AsyncioLoop:
    """The running asyncio loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reply: Callable[[], Reply] = self._loop.create_future

    def kept(self) -> KeptReply:
        return KeptReply(self._loop)

    def task(self) -> int:
        return id(asyncio.current_task(self._loop))

    def alarm(self, seconds: float, ring: Callable[[], None]) -> Callable[[], None]:
        # In a context of its own: what the calling task has in its own is not to be kept for it.
        return self._loop.call_later(seconds, ring, context=Context()).cancel

    def watch(self, fd: int, ready: Callable[[], bool]) -> None:
        self._loop.add_reader(fd, ready)

    def when_writable(self, fd: int, ready: Callable[[], None]) -> None:
        def once() -> None:
            self._loop.remove_writer(fd)
            ready()

        self._loop.add_writer(fd, once)

    def unwatch(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
