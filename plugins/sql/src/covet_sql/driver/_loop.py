"""What the driver needs of an event loop: replies to wait for, and word when a socket is ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup


class Reply(Awaitable[Any], Protocol):
    """What one task waits for; a task that was cancelled meanwhile has abandoned it."""

    def done(self) -> bool:
        """Whether there is a result, or nobody waits any more."""

    def set_result(self, result: Any, /) -> None:
        """Let the task go on. Only while it is not `done`."""


class Scheduler(Protocol):
    """What has tasks wait, and wakes them."""

    def reply(self) -> Reply:
        """Something to wait for once."""

    def kept(self) -> Reply:
        """The same for what has to be known, once it is asked for: a cancelled task waits for it, too.

        Whoever asks sees to it that it comes: the wait has no end of its own.
        """

    def task(self) -> int:
        """The id of the running task, by which it is told from all others there are."""

    def alarm(self, seconds: float, ring: Callable[[], None]) -> Callable[[], None]:
        """Call ``ring`` in so many seconds, unless what this returns is called before."""


class Loop(Scheduler, Protocol):
    """The running event loop."""

    def watch(self, fd: int, ready: Callable[[], bool]) -> None:
        """Call ``ready`` whenever the descriptor can be read, until `unwatch`.

        It returns whether it still wants to be called; it does not after `unwatch`.
        """

    def when_writable(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` once, when the descriptor can be written."""

    def unwatch(self, fd: int) -> None:
        """Forget the descriptor; before it is closed."""


def current_loop(tasks: TaskGroup) -> Loop:
    """The loop of the calling task.

    Args:
        tasks: Where trio's watchers run.
    """
    if _on_asyncio():
        from covet_sql.driver._loop_asyncio import AsyncioLoop

        return AsyncioLoop()
    from covet_sql.driver._loop_trio import TrioLoop

    return TrioLoop(tasks)


def current_scheduler() -> Scheduler:
    """That of the calling task's loop, for who watches no descriptors."""
    if _on_asyncio():
        from covet_sql.driver._loop_asyncio import AsyncioLoop

        return AsyncioLoop()
    from covet_sql.driver._loop_trio import TrioScheduler

    return TrioScheduler()


def _on_asyncio() -> bool:
    return anyio.get_cancelled_exc_class().__module__.startswith("asyncio")
