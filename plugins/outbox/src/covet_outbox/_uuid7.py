"""Identifiers that sort by the time they were made at (RFC 9562, version 7)."""

from __future__ import annotations

import time
from secrets import randbits
from uuid import UUID

COUNTER_BITS = 12
"""Of the random part, used to keep order within a millisecond."""

_last = 0


def uuid7() -> UUID:
    """A new identifier, greater than every other one of this process."""
    global _last  # noqa: PLW0603 - order within a process is a property of the process
    # The millisecond, and a fraction of it in the twelve bits behind (RFC 9562, 6.2, method 3).
    ticks = (time.time_ns() << COUNTER_BITS) // 1_000_000
    _last = ticks = max(ticks, _last + 1)
    milliseconds, fraction = ticks >> COUNTER_BITS, ticks & ((1 << COUNTER_BITS) - 1)
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | randbits(62))
