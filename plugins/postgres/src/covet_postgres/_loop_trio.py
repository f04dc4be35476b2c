"""Waiting on trio.

This file imports trio to park tasks and to wake exactly one of them; anyio has only events for that,
which cost a set of tasks each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import trio
from anyio.abc import TaskGroup


class TrioReply:
    """One task, parked until its result is there."""

    __slots__ = ("_done", "_result", "_task")

    def __init__(self) -> None:
        self._done = False
        self._result: Any = None
        self._task: trio.lowlevel.Task | None = None

    def done(self) -> bool:
        return self._done

    def set_result(self, result: Any) -> None:
        self._done = True
        self._result = result
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._done:
            self._task = trio.lowlevel.current_task()
            parked = trio.lowlevel.wait_task_rescheduled(self._abort)  # noqa: ASYNC105 - it is, below
            yield from parked.__await__()
        return self._result

    def _abort(self, raise_cancel: Callable[[], None]) -> trio.lowlevel.Abort:
        self._done = True
        return trio.lowlevel.Abort.SUCCEEDED


class TrioLoop:
    """The running trio loop."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._watched: dict[int, Callable[[], bool]] = {}

    def reply(self) -> TrioReply:
        return TrioReply()

    def watch(self, fd: int, ready: Callable[[], bool]) -> None:
        self._watched[fd] = ready
        self._tasks.start_soon(self._read, fd, ready)

    async def _read(self, fd: int, ready: Callable[[], bool]) -> None:
        with suppress(trio.ClosedResourceError):
            # It may be closed before this begins.
            while self._watched.get(fd) is ready:
                await trio.lowlevel.wait_readable(fd)
                # The descriptor may be closed by now, and another's have its number.
                if not ready():
                    return

    def when_writable(self, fd: int, ready: Callable[[], None]) -> None:
        self._tasks.start_soon(self._write, fd, ready)

    async def _write(self, fd: int, ready: Callable[[], None]) -> None:
        try:
            await trio.lowlevel.wait_writable(fd)
        except trio.ClosedResourceError:
            return
        ready()

    def unwatch(self, fd: int) -> None:
        self._watched.pop(fd, None)
        trio.lowlevel.notify_closing(fd)
