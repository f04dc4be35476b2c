"""Waiting on asyncio and uvloop.

This file imports asyncio because anyio's wait for a descriptor costs as much as a whole statement:
the descriptor is registered and forgotten again at each wait, and a task is woken in between. Here
it stays registered, and its callback wakes the tasks whose replies have come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from covet_sql.driver._loop import Reply


class AsyncioLoop:
    """The running asyncio loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reply: Callable[[], Reply] = self._loop.create_future

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
