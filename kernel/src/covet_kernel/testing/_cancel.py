"""Cancel a piece of work at each of its awaits, one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from itertools import count
from typing import Any

import anyio


class Stepped:
    """Awaits a coroutine and calls ``at`` when it suspends for the ``number``-th time.

    Args:
        work: What to await.
        number: 1 for the first suspension.
        at: Called just before the event loop gets its turn.

    Attributes:
        count: How often ``work`` has been suspended so far.
    """

    def __init__(
        self, work: Coroutine[Any, Any, Any], number: int, at: Callable[[], object]
    ) -> None:
        self._work = work
        self._number = number
        self._at = at
        self.count = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        resume: Callable[[Any], Any] = self._work.send
        value: Any = None
        while True:
            try:
                suspended_on = resume(value)
            except StopIteration as end:
                return end.value
            self.count += 1
            if self.count == self._number:
                self._at()
            try:
                value, resume = (yield suspended_on), self._work.send
            except BaseException as error:
                value, resume = error, self._work.throw


async def cancel_at_every_await(
    make: Callable[[], Coroutine[Any, Any, object]],
    *,
    check: Callable[[], Awaitable[object]] | None = None,
) -> int:
    """Run ``make()`` cancelled at its first await, then anew at its second, until one run finishes.

    Only where the coroutine really suspends is an await that can be cancelled; what it does in
    tasks of its own counts where it waits for them. Whatever it raises, other than the
    cancellation, comes out at once.

    Args:
        make: Makes the coroutine of one run.
        check: Awaited after every run, to assert that nothing is left of it.

    Returns:
        At how many awaits it was cancelled.
    """
    for number in count(1):
        with anyio.CancelScope() as scope:
            work = Stepped(make(), number, scope.cancel)
            await work
        if check:
            await check()
        if not scope.cancel_called:
            return work.count
    raise AssertionError("unreachable")


async def cancel_at_every_tick(
    make: Callable[[], Coroutine[Any, Any, object]],
    *,
    check: Callable[[], Awaitable[object]] | None = None,
) -> int:
    """Like `cancel_at_every_await`, but at each turn of the event loop, whoever's turn it is.

    For work that is spread over several tasks and must be safe to cancel wherever they are. It
    should take few turns: the time this takes grows with their square, so it must not sleep.

    Args:
        make: Makes the coroutine of one run.
        check: Awaited after every run, to assert that nothing is left of it.

    Returns:
        At how many turns it was cancelled.
    """
    for number in count():
        scope = anyio.CancelScope()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_cancel_after, number, scope)
                with scope:
                    await make()
                finished = not scope.cancel_called
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None
            raise
        if check:
            await check()
        if finished:
            return number
    raise AssertionError("unreachable")


async def _cancel_after(turns: int, scope: anyio.CancelScope) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    scope.cancel()
