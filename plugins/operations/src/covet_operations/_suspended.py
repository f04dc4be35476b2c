"""A coroutine that somebody else has begun to step, as something that can be awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any


class Suspended:
    """What is left of a coroutine that has begun to wait: forwards its waits and their results.

    For drivers that step calls themselves: awaited in the task that took the first step, it runs the
    rest there.

    Args:
        coroutine: Was stepped once.
        context: The context it was stepped in; every further step is taken in it too. ``None``: that of
            whoever awaits this.
        trap: What it yielded.
    """

    __slots__ = ("_coroutine", "_run", "_trap")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], context: Context | None, trap: Any
    ) -> None:
        self._coroutine = coroutine
        self._run: Callable[..., Any] = _here if context is None else context.run
        self._trap = trap

    def __await__(self) -> Generator[Any, Any, Any]:
        run, send, trap = self._run, self._coroutine.send, self._trap
        while True:
            try:
                sent = yield trap
            except GeneratorExit:
                run(self._coroutine.close)
                raise
            except BaseException as error:
                try:
                    trap = run(self._coroutine.throw, error)
                except StopIteration as stop:
                    return stop.value
            else:
                try:
                    trap = run(send, sent)
                except StopIteration as stop:
                    return stop.value


def _here(step: Callable[..., Any], *values: Any) -> Any:
    return step(*values)
