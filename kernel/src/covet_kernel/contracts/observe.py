"""What plugins let others see: health, metrics and events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from covet_kernel.contracts._record import Record


class HealthCheck(Record):
    """An async check; it passes by returning and fails by raising or by overrunning ``deadline``.

    Attributes:
        kind: ``"ready"`` takes the process out of rotation, ``"live"`` has it replaced.
        deadline: Seconds.
    """

    name: str
    check: Callable[[], Awaitable[None]]
    kind: Literal["ready", "live"] = "ready"
    deadline: float = 5.0


class Metric(Record):
    """A pulled metric: ``read`` is called at each scrape and yields (label values, number)."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]
    unit: str = ""
    labels: tuple[str, ...] = ()
    help: str = ""


class Event(Record):
    """A change of state. ``name`` is dotted, such as ``"plugin.started"``, ``"kernel.draining"``."""

    name: str
    plugin: str = ""
    data: Mapping[str, Any] = MappingProxyType({})
