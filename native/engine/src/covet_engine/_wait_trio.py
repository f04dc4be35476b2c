"""Waiting on trio.

This file imports trio to park tasks and to wake exactly one of them; anyio has only events for that,
which cost a set of tasks each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator
from functools import partial
from typing import Any, Final

import anyio
import trio

from covet_engine._core import Event
from covet_engine._wait import Seat

_NOTHING: Final[Iterator[Event]] = iter(())


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


def _abort(raise_cancel: Callable[[], None]) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


def _trap() -> Any:
    """What `trio.lowlevel.wait_task_rescheduled` yields: the same for every wait, so it is made once."""
    waiting = trio.lowlevel.wait_task_rescheduled(_abort)  # noqa: ASYNC105 - never waits
    try:
        return waiting.send(None)
    finally:
        waiting.close()


_TRAP: Final = _trap()
# What a task that waits here is sent instead of an outcome, which would be made and taken apart each time.
_WOKEN: Final[Any] = object()


class TrioSeat:
    """One task, parked or waiting for the descriptor."""

    __slots__ = ("_fd", "_task", "rest")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._task: trio.lowlevel.Task | None = None
        self.rest: Iterator[Event] = _NOTHING

    @property
    def waiting(self) -> bool:
        # Trio takes it away when it reschedules a task, whoever asked for that.
        return self._task is not None and self._task.custom_sleep_data is self

    def readable(self) -> Awaitable[object]:
        return trio.lowlevel.wait_readable(self._fd)  # noqa: ASYNC105 - the worker awaits it

    def park(self) -> TrioSeat:
        return self

    def __await__(self) -> Generator[Any, Any, None]:
        task = self._task = trio.lowlevel.current_task()
        task.custom_sleep_data = self
        outcome = yield _TRAP
        if outcome is not _WOKEN:
            outcome.unwrap()

    def wake(self) -> None:
        assert self._task is not None
        trio.lowlevel.reschedule(self._task, _WOKEN)

    def situation(self) -> Callable[[], object]:
        # Private: where it is missing, scopes left open go unnoticed.
        return partial(getattr, trio.lowlevel.current_task(), "_cancel_status", None)

    def unwind(self, scope: anyio.CancelScope) -> None:
        # Leaving the outer scope is all that can be done: trio then says what was left open.
        pass

    def unsettled(self) -> bool:
        return False
