"""The first step of a call, which is all there is of most of them: one function for each endpoint.

Which function that is depends on the event loop and on what calls of the endpoint do, so that the
first call chooses it, and one that opens scopes of its own chooses another.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeAlias

from covet_kernel.contracts import Call
from covet_operations._chain import Chain, Direct, can_wait
from covet_operations._driver import Pending
from covet_operations._nesting import ELSEWHERE, current_nesting

Begin: TypeAlias = Callable[[Call], Pending | None]


def beginning(
    start: Callable[[], Chain], direct: Direct | None, again: Begin, *, scope_first: bool
) -> Begin:
    """What takes first steps on the running event loop, in a context of their own.

    Args:
        start: Gives what makes a call's coroutine.
        direct: The same for a call that need not wait, if there is one.
        again: Takes the first step of a call that came on another event loop.
        scope_first: Whether a call that may wait is to enter its scope before it begins.
    """
    if direct is not None and not can_wait(direct):

        def at_once(call: Call) -> None:
            copy_context().run(direct, call)

        return at_once
    nesting = current_nesting()
    if scope_first or nesting is None:
        chain = start()
        return lambda call: Pending(chain(call), copy_context())
    place = nesting.place
    take: Callable[[Call], Coroutine[Any, Any, Any] | None] = start() if direct is None else direct

    def begin(call: Call) -> Pending | None:
        where = place()
        if where is ELSEWHERE:
            return again(call)
        context = copy_context()
        coroutine = context.run(take, call)
        if coroutine is None:
            return None
        try:
            trap = context.run(coroutine.send, None)
        except StopIteration:
            return None
        return Pending(coroutine, context, trap, nesting, where)

    return begin
