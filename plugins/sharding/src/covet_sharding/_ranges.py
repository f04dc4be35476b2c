"""Ranges of keys: numbers or texts, one behind the other, without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

Bound: TypeAlias = int | str
Ends: TypeAlias = "tuple[Bound | None, Bound | None]"
"""The first key of a range and the first behind it, ``None`` where there is no end."""


def check_ranges(ranges: Sequence[Ends]) -> None:
    """See that every key is in one of the ranges, and in one only.

    Raises:
        ValueError: There is a gap or an overlap, a range is empty, or numbers and texts are mixed.
    """
    if not ranges:
        raise ValueError("strategy = 'range' needs ranges")
    bounds = [each for ends in ranges for each in ends if each is not None]
    if len({type(each) for each in bounds}) > 1:
        raise ValueError("bounds of ranges are all numbers, or all texts")
    if ranges[0][0] is not None:
        raise ValueError(f"there is a gap below {ranges[0][0]!r}: the first range has no start")
    if ranges[-1][1] is not None:
        raise ValueError(f"there is a gap from {ranges[-1][1]!r}: the last range has no end")
    for (_, end), (start, _) in pairwise(ranges):
        if end is None or start is None:
            raise ValueError(
                "ranges overlap: only the first has no start, and only the last no end"
            )
        if _less(end, start):
            raise ValueError(f"there is a gap from {end!r} to {start!r}")
        if _less(start, end):
            raise ValueError(f"ranges overlap from {start!r} to {end!r}")
    for start, end in ranges:
        if start is not None and end is not None and not _less(start, end):
            raise ValueError(f"the range from {start!r} to {end!r} is empty")


def _less(one: Bound, other: Bound) -> bool:
    # One type, as was checked; texts compare by code point.
    return one < other  # type: ignore[operator]
