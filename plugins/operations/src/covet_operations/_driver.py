"""The driver: everything around a call that is not the chain. Deadline, cause, disconnect, context.

This is the portable driver, for transports that have one task per request already. It steps the
call's coroutine itself, which buys three things: a context of the call's own without a task of its
own; a deadline timer and a disconnect watcher only for calls that actually wait; and no second
scope. The scope is entered before the first step, since a scope opened after it would sit inside
scopes the handler may have opened before it first waited, and those would then be left in the
wrong order.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any


class Stepped:
    """Awaitable that runs a coroutine in a context and says when it first waits."""

    __slots__ = ("_context", "_coroutine", "_waits")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], context: Context, waits: Callable[[], object] | None
    ) -> None:
        self._coroutine = coroutine
        self._context = context
        self._waits = waits

    def __await__(self) -> Generator[Any, Any, Any]:
        run, send, throw = self._context.run, self._coroutine.send, self._coroutine.throw
        try:
            trap = run(send, None)
        except StopIteration as stop:
            return stop.value
        if self._waits is not None:
            self._waits()
        while True:
            try:
                sent = yield trap
            except GeneratorExit:
                run(self._coroutine.close)
                raise
            except BaseException as error:
                try:
                    trap = run(throw, error)
                except StopIteration as stop:
                    return stop.value
            else:
                try:
                    trap = run(send, sent)
                except StopIteration as stop:
                    return stop.value
