"""Waiting on trio.

This file imports trio to park tasks and to wake exactly one of them; anyio has only events for that,
which cost a set of tasks each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import anyio
import trio

from covet_engine._core import Event
from covet_engine._wait import Seat


class TrioLoop:
    """The running trio loop."""

    def __init__(self) -> None:
        self._fd = -1

    def open(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            trio.lowlevel.notify_closing(self._fd)
            self._fd = -1

    def seat(self) -> Seat:
        return TrioSeat(self._fd)

    def soon(self, flush: Callable[[], None], keeper: Seat) -> Callable[[], object]:
        def wake() -> None:
            if keeper.waiting:
                keeper.wake()

        return wake


class TrioSeat:
    """One task, parked or waiting for the descriptor."""

    __slots__ = ("_fd", "_task", "rest", "waiting")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._task: trio.lowlevel.Task
        self.rest: Iterator[Event] = iter(())
        self.waiting = False

    def readable(self) -> Awaitable[object]:
        return trio.lowlevel.wait_readable(self._fd)  # noqa: ASYNC105 - the worker awaits it

    async def park(self) -> None:
        self._task = trio.lowlevel.current_task()
        self.waiting = True
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def wake(self) -> None:
        self.waiting = False
        trio.lowlevel.reschedule(self._task)

    def _abort(self, raise_cancel: Callable[[], None]) -> trio.lowlevel.Abort:
        self.waiting = False
        return trio.lowlevel.Abort.SUCCEEDED

    def situation(self) -> Callable[[], object]:
        # Private: where it is missing, scopes left open go unnoticed.
        return partial(getattr, trio.lowlevel.current_task(), "_cancel_status", None)

    def unwind(self, scope: anyio.CancelScope) -> None:
        # Leaving the outer scope is all that can be done: trio then says what was left open.
        pass

    def unsettled(self) -> bool:
        return False
