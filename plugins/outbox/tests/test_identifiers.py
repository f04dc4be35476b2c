"""Identifiers sort by time, and are of version 7."""

from __future__ import annotations

import time
from uuid import RFC_4122

from covet_outbox._uuid7 import uuid7


def test_they_are_of_version_7_and_in_order() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(20_000)]
    assert all(each.version == 7 and each.variant == RFC_4122 for each in made)
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    stamps = [each.int >> 80 for each in made]
    # Many at once borrow from the future, a 4096th of a millisecond each.
    assert before <= stamps[0] <= stamps[-1] <= time.time_ns() // 1_000_000 + 5
