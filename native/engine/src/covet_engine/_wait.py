"""Where workers wait: for the engine's descriptor, or for their turn to lead. One file for each loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import anyio

from covet_engine._core import Event


class Seat(Protocol):
    """Where one task waits; nobody else waits in it.

    Attributes:
        rest: Events that whoever wakes the task leaves to it.
    """

    rest: Iterator[Event]

    @property
    def waiting(self) -> bool:
        """Whether the task is parked here and `wake` would reach it."""

    def readable(self) -> Awaitable[object]:
        """Wait until the descriptor is readable, and for one turn of the loop at least."""

    def park(self) -> Awaitable[object]:
        """Wait until `wake` is called."""

    def wake(self) -> None:
        """Let a `waiting` task go on: in this turn of the loop if that is possible."""

    def situation(self) -> Callable[[], object]:
        """A function whose results are the same object while the task is in the same cancel scope.

        Called by the task itself, which asks it whether a call has left a scope of its own behind.
        """

    def unwind(self, scope: anyio.CancelScope) -> None:
        """Leave what was left open within ``scope``, as far as the loop allows it."""

    def unsettled(self) -> bool:
        """Whether a cancellation of the task itself, not of a scope, has not been dealt with."""


class Loop(Protocol):
    """The event loop, as far as the pool needs it."""

    def open(self, fd: int) -> None:
        """Watch this descriptor."""

    def close(self) -> None:
        """Forget it; before it is closed, and once no worker is left."""

    def seat(self) -> Seat:
        """Another place to wait."""

    def soon(self, flush: Callable[[], None], keeper: Seat) -> Callable[[], object]:
        """A function that makes ``flush`` run at the end of this turn of the loop.

        Args:
            flush: What to call.
            keeper: The seat of a task that calls ``flush`` whenever it is woken.
        """


def current_loop() -> Loop:
    """The running event loop."""
    if anyio.get_cancelled_exc_class().__module__.startswith("asyncio"):
        from covet_engine._wait_asyncio import AsyncioLoop

        return AsyncioLoop()
    from covet_engine._wait_trio import TrioLoop

    return TrioLoop()
