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
    """One task, parked until its result is there.

    Args:
        kept: It stays parked until then when it is cancelled; whatever it waits for next ends at once.
    """

    __slots__ = ("_done", "_kept", "_result", "_task")

    def __init__(self, *, kept: bool = False) -> None:
        self._done = False
        self._kept = kept
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
        if self._kept:
            return trio.lowlevel.Abort.FAILED
        self._done = True
        return trio.lowlevel.Abort.SUCCEEDED


class TrioScheduler:
    """Waiting for what other tasks do, and for the clock."""

    def reply(self) -> TrioReply:
        return TrioReply()

    def kept(self) -> TrioReply:
        return TrioReply(kept=True)

    def task(self) -> int:
        return id(trio.lowlevel.current_task())

    def alarm(self, seconds: float, ring: Callable[[], None]) -> Callable[[], None]:
        scope = trio.CancelScope()

        async def wait() -> None:
            with scope:
                await trio.sleep(seconds)
                ring()

        trio.lowlevel.spawn_system_task(wait)
        return scope.cancel


class TrioLoop(TrioScheduler):
    """The running trio loop."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._watches: dict[int, object] = {}

    def watch(self, fd: int, ready: Callable[[], bool]) -> None:
        watch = self._watches[fd] = object()
        self._tasks.start_soon(self._read, fd, ready, watch)

    async def _read(self, fd: int, ready: Callable[[], bool], watch: object) -> None:
        with suppress(trio.ClosedResourceError):
            while self._watches.get(fd) is watch:
                await trio.lowlevel.wait_readable(fd)
                # By now it may be watched for somebody else, or another descriptor have its number.
                if self._watches.get(fd) is not watch or not ready():
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
        self._watches.pop(fd, None)
        trio.lowlevel.notify_closing(fd)
