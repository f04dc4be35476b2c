"""Cancel scopes on asyncio and uvloop.

This file imports asyncio to know the running task, and looks at what anyio keeps of it: there is no
public way to ask for a task's scopes. Where anyio keeps something else, `KNOWN` is false.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import ref

import anyio
from anyio._backends import _asyncio as backend

from covet_operations._nesting import ELSEWHERE

_STATES: Any = getattr(backend, "_task_states", None)
_NEEDED = frozenset(
    ("_cancelling_at_enter", "_child_scopes", "_host_task", "_parent_scope", "_tasks")
)

KNOWN = (
    isinstance(getattr(_STATES, "data", None), dict)
    and "cancel_scope" in getattr(getattr(backend, "TaskState", None), "__slots__", ())
    and frozenset(getattr(backend.CancelScope, "__slots__", ())) >= _NEEDED
)
"""Whether anyio keeps scopes in the way this file knows."""

# Where asyncio keeps the running task of each loop. To ask it by a function costs twice as much.
_TASKS: Any = getattr(asyncio.tasks, "_current_tasks", None)


class AsyncioNesting:
    """The scopes of the tasks of the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.place = _place(self._loop)
        self.scope = type(anyio.CancelScope())

    def sink(self, place: object) -> None:
        task = asyncio.current_task(self._loop)
        state = _STATES[task]
        scope = state.cancel_scope
        top = bottom = scope._parent_scope
        while bottom is not None and bottom._parent_scope is not place:
            bottom = bottom._parent_scope
        if bottom is None:
            return
        top._child_scopes.remove(scope)
        scope._tasks.remove(task)
        top._tasks.add(task)
        state.cancel_scope = top
        outer: Any = place
        if outer is not None:
            outer._child_scopes.remove(bottom)
            outer._child_scopes.add(scope)
        scope._parent_scope = outer
        bottom._parent_scope = scope
        scope._child_scopes.add(bottom)
        # Cancellations of the task itself that were asked for since are not older than the scope.
        scope._cancelling_at_enter = bottom._cancelling_at_enter


def _place(loop: asyncio.AbstractEventLoop) -> Callable[[], object]:
    task_of: Callable[[Any], Any] = _TASKS.get if isinstance(_TASKS, dict) else asyncio.current_task
    # What `get` of a dictionary with weak keys does, without one more call.
    state_of = _STATES.data.get

    def place() -> object:
        task = task_of(loop)
        if task is None:
            return ELSEWHERE
        state = state_of(ref(task))
        return None if state is None else state.cancel_scope

    return place
