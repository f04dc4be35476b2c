"""Cancel scopes on trio.

This file imports trio to know the running task, and looks at what trio keeps of it: there is no
public way to ask for a task's scopes. Where trio keeps something else, `KNOWN` is false.
"""

from __future__ import annotations

from typing import Any

import anyio
import trio

from covet_operations._nesting import ELSEWHERE

_STATUS: Any = getattr(getattr(trio._core, "_run", None), "CancelStatus", None)

KNOWN = (
    {"_cancel_status", "_child_nurseries"} <= set(getattr(trio.lowlevel.Task, "__slots__", ()))
    and isinstance(getattr(_STATUS, "parent", None), property)
    and hasattr(trio.lowlevel.Task, "_activate_cancel_status")
)
"""Whether trio keeps scopes in the way this file knows."""


class TrioNesting:
    """The scopes of trio's tasks."""

    __slots__ = ("scope",)

    def __init__(self) -> None:
        self.scope = type(anyio.CancelScope())

    def place(self) -> object:
        try:
            task: Any = trio.lowlevel.current_task()
        except RuntimeError:
            return ELSEWHERE
        return task._cancel_status

    def sink(self, place: object) -> None:
        task: Any = trio.lowlevel.current_task()
        status = task._cancel_status
        top = bottom = status.parent
        above = [top]
        while bottom is not None and bottom.parent is not place:
            bottom = bottom.parent
            above.append(bottom)
        if bottom is None:
            return
        task._activate_cancel_status(top)
        status.parent = place
        bottom.parent = status
        # Nurseries are left in the order in which they were opened, too.
        nurseries = task._child_nurseries
        if nurseries and nurseries[-1]._cancel_status is status:
            nursery = nurseries.pop()
            inside = sum(each._cancel_status in above for each in nurseries)
            nurseries.insert(len(nurseries) - inside, nursery)
