"""Waiting on asyncio and uvloop.

This file imports asyncio because anyio's wait for a descriptor costs a task's wake-up and two system
calls more than the loop itself asks for, at every turn.

The descriptor stays registered, and its callback runs the leader's next step itself instead of
scheduling it: an ordinary future would cost one more turn of the loop between readiness and the
first request. The same callback goes on with the next leader if the first one begins to wait, so
that a batch is worked through in one turn however many of its calls wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextvars import Context
from functools import partial
from typing import Any, Final

import anyio
from anyio._backends import _asyncio as backend

from covet_engine._core import Event
from covet_engine._wait import Seat

# Which scope a task is in. It is private: where it is missing, scopes left open go unnoticed.
_STATES: Any = getattr(backend, "_task_states", None)
_NOTHING: Final[Iterator[Event]] = iter(())


class AsyncioLoop:
    """The running asyncio loop.

    Args:
        plain: Wait with the loop's own futures: for tasks that are not asyncio's, which may not know
            what to do with anything else. Found out unless given.
    """

    def __init__(self, *, plain: bool | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if plain is None:
            plain = not isinstance(asyncio.current_task(), asyncio.Task)
        self._plain = plain
        self._fd = -1
        self._running = False
        self._next: deque[AsyncioSeat] = deque()
        self.leader: AsyncioSeat | PlainSeat | None = None

    def open(self, fd: int) -> None:
        self._fd = fd
        self._loop.add_reader(fd, self._ready)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1

    def seat(self) -> Seat:
        return PlainSeat(self, self._loop) if self._plain else AsyncioSeat(self, self._loop)

    def soon(self, flush: Callable[[], None], keeper: Seat) -> Callable[[], object]:
        return partial(self._loop.call_soon, flush)

    def hand(self, seat: AsyncioSeat) -> None:
        """Let a task go on: within the callback that runs now, or in the next turn."""
        if self._running:
            self._next.append(seat)
        else:
            self._loop.call_soon(self.run, seat)

    def _ready(self) -> None:
        leader, self.leader = self.leader, None
        if leader is not None:
            leader.run()

    def run(self, seat: AsyncioSeat) -> None:
        """Run a task's next step now, and the steps of those that it hands over to."""
        self._running = True
        handed = self._next
        try:
            seat.step()
            while handed:
                handed.popleft().step()
        finally:
            self._running = False
            while handed:
                # What was raised ends the loop; tasks that are still there may have to clean up.
                self._loop.call_soon(self.run, handed.popleft())


class _Cancellations:
    """What both kinds of seats know about their task."""

    __slots__ = ()

    def situation(self) -> Callable[[], object]:
        return partial(getattr, self._state(), "cancel_scope", None)

    def unwind(self, scope: anyio.CancelScope) -> None:
        state = self._state()
        while state is not None and state.cancel_scope not in (scope, None):
            # Cancelled first, for the sake of tasks that were started in it.
            state.cancel_scope.cancel()
            state.cancel_scope.__exit__(None, None, None)

    def unsettled(self) -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    def _state(self) -> Any:
        return _STATES.get(asyncio.current_task()) if _STATES is not None else None


class AsyncioSeat(_Cancellations):
    """As good as a future for asyncio's tasks, but it runs its task at once when it is woken.

    A task that waits here hands in its own wake-up (`add_done_callback`) and asks for the `result`
    when that is called. Cancellation goes the ordinary way, through the loop.
    """

    __slots__ = (
        "_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_loop", "_owner",
        "_woken", "rest", "waiting",
    )  # fmt: skip

    def __init__(self, owner: AsyncioLoop, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._asyncio_future_blocking = False
        self._callback: Callable[[Any], object] | None = None
        self._cancelled: tuple[Any, ...] | None = None
        self._context: Context
        self.rest: Iterator[Event] = _NOTHING
        self.waiting = False
        self._woken = False

    def readable(self) -> AsyncioSeat:
        self._woken = False
        self._owner.leader = self
        return self

    def park(self) -> AsyncioSeat:
        self._woken = False
        self.waiting = True
        return self

    def wake(self) -> None:
        self.waiting = False
        self._woken = True
        self._owner.hand(self)

    def run(self) -> None:
        self._owner.run(self)

    def step(self) -> None:
        """Run the task until it waits again."""
        callback = self._callback
        if callback is not None:
            self._callback = None
            self._context.run(callback, self)

    # What a task asks of whatever it waits for.

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        # Yields what a generator would, which is larger, and is entered twice more.
        return iter((self,))  # type: ignore[return-value]

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context) -> None:
        self._callback = callback
        self._context = context

    def done(self) -> bool:
        """Whether the task is about to go on: who looks for tasks that wait asks a future this."""
        return self._woken or self._cancelled is not None or self._callback is None

    def result(self) -> None:
        if self._cancelled is not None:
            message, self._cancelled = self._cancelled, None
            raise asyncio.CancelledError(*message)

    def cancel(self, msg: Any = None) -> bool:
        if self._callback is None or self._cancelled is not None:
            # It is on its way already; the task remembers.
            return False
        self._cancelled = () if msg is None else (msg,)
        self.waiting = False
        if self._owner.leader is self:
            self._owner.leader = None
        self._loop.call_soon(self._deliver, self._callback)
        return True

    def _deliver(self, callback: Callable[[Any], object]) -> None:
        # Unless something else was faster, and the task waits for the next thing by now.
        if self._callback is callback:
            self.step()


class PlainSeat(_Cancellations):
    """The same with an ordinary future each time."""

    __slots__ = ("_future", "_loop", "_owner", "_parked", "rest")

    def __init__(self, owner: AsyncioLoop, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self._parked = False
        self.rest: Iterator[Event] = _NOTHING

    @property
    def waiting(self) -> bool:
        return self._parked and self._future is not None and not self._future.done()

    def readable(self) -> asyncio.Future[None]:
        self._owner.leader = self
        self._parked = False
        self._future = self._loop.create_future()
        return self._future

    def park(self) -> asyncio.Future[None]:
        self._parked = True
        self._future = self._loop.create_future()
        return self._future

    def wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def run(self) -> None:
        self.wake()
