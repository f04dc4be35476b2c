"""What others need of this plugin: a contract, and the token they require it by."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final, Protocol

from covet_kernel.contracts import Capability


class Clock(Protocol):
    """Tells the time of one place."""

    def now(self) -> datetime:
        """The present moment, aware of its time zone."""


CLOCK: Final = Capability[Clock]("template.clock", plugins=("template",))
"""Requires a clock: ``requires = (CLOCK,)``, then ``ctx.require(CLOCK).now()``."""


class ZoneClock:
    """The system's clock, read in one time zone."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(self._zone)
