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


class Loop(Protocol):
    """The running event loop."""

    def reply(self) -> Reply:
        """Something to wait for once."""

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
    if anyio.get_cancelled_exc_class().__module__.startswith("asyncio"):
        from covet_sql.driver._loop_asyncio import AsyncioLoop

        return AsyncioLoop()
    from covet_sql.driver._loop_trio import TrioLoop

    return TrioLoop(tasks)
