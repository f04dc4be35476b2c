"""How a driver enters a call's cancel scope late, and has it outermost all the same.

A scope costs several microseconds, and most calls never wait. So the first step of a call is taken
without one. When it waits, its scope is entered, and where the call has opened scopes of its own by
then, it is sunk beneath them, as if it had been entered first. One file for each event loop.
"""

from __future__ import annotations

from typing import Final, Protocol

import anyio

ELSEWHERE: Final = object()
"""In place of a place: another event loop is running by now."""


class Nesting(Protocol):
    """The cancel scopes of whatever task is running.

    Attributes:
        scope: The event loop's own class of them, which `anyio.CancelScope` looks up for each scope.
    """

    scope: type[anyio.CancelScope]

    def place(self) -> object:
        """The innermost of them: the same object as long as the task opens and leaves none.

        `ELSEWHERE` if what is running is no task of the loop that this was made on.
        """

    def sink(self, place: object) -> None:
        """Move the innermost scope beneath all others that the task has opened since ``place``.

        A task group's too: what is said of scopes holds for the nursery that may belong to one.

        Args:
            place: From this task, and a scope that it has not left.
        """


def current_nesting() -> Nesting | None:
    """That of the running event loop, ``None`` where the loop does not show what is needed."""
    if anyio.get_cancelled_exc_class().__module__.startswith("asyncio"):
        from covet_operations._nesting_asyncio import KNOWN, AsyncioNesting

        return AsyncioNesting() if KNOWN else None
    from covet_operations._nesting_trio import KNOWN, TrioNesting

    return TrioNesting() if KNOWN else None
