"""Cancels a scenario at each of its awaits, one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import anyio

from covet_conformance._waiting import within


async def cancel_at_every_await(
    scenario: Callable[[], Coroutine[Any, Any, object]],
    check: Callable[[], Awaitable[object]],
    *,
    timeout: float = 10.0,
    most: int = 1_000,
) -> int:
    """Run ``scenario`` again and again, cancelled at its first await, its second, and so on.

    An await counts when it suspends the scenario's own task; the scope is cancelled just then, so
    that the cancellation arrives in the middle of whatever is waited for. After each run ``check``
    says what must still be true. It ends with the run that is over before its turn to be
    cancelled; an await behind a shield is met like every other, and may well finish.

    Args:
        scenario: Makes a fresh coroutine for each run.
        check: Raises if a cancelled run left something wrong behind; it is not cancelled itself.
        timeout: Seconds for one run, and for one check. A scenario that ignores its cancellation
            and waits on overruns it.
        most: How many awaits there may be, against scenarios that never end.

    Returns:
        How many awaits the scenario has.

    Raises:
        AssertionError: A run or a check took too long, or there are too many awaits.
        Exception: Whatever the scenario or the check raised.
    """
    for index in range(most + 1):
        with anyio.CancelScope() as scope:
            run = Counted(scenario(), index, scope)
            async with within(timeout, f"the run cancelled at await {index}"):
                await run
        async with within(timeout, f"the check after cancelling at await {index}"):
            await check()
        if run.count <= index:
            return run.count
    raise AssertionError(f"the scenario has more than {most} awaits")


class Counted:
    """A coroutine that cancels ``scope`` when it suspends for the time number ``index``."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], index: int, scope: anyio.CancelScope
    ) -> None:
        self._coroutine = coroutine
        self._index = index
        self._scope = scope
        self.count = 0

    def __await__(self) -> Generator[Any, Any, object]:
        """Hand every suspension of the coroutine to the event loop, counting."""
        resume: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            try:
                waits_for = resume()
            except StopIteration as end:
                return end.value
            if self.count == self._index:
                self._scope.cancel()
            self.count += 1
            try:
                sent = yield waits_for
            except BaseException as error:
                resume = _throwing(self._coroutine, error)
            else:
                resume = _sending(self._coroutine, sent)


def _sending(coroutine: Coroutine[Any, Any, object], value: Any) -> Callable[[], Any]:
    return lambda: coroutine.send(value)


def _throwing(coroutine: Coroutine[Any, Any, object], error: BaseException) -> Callable[[], Any]:
    return lambda: coroutine.throw(error)
