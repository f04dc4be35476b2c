"""Durations by their order of magnitude: a fixed number of counts, whatever is added."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

STEPS: Final = 8
"""Buckets for each power of two: the bounds of one differ by an eighth at most."""
OCTAVES: Final = 32
LOWEST: Final = 2.0**-20
"""What is below it, about a microsecond, is in the first bucket, and so is what is little above."""
SIZE: Final = STEPS * OCTAVES
BOUNDS: Final[list[float]] = [
    LOWEST * 2**octave * (1 + (step + 1) / STEPS)
    for octave in range(OCTAVES)
    for step in range(STEPS)
][:-1]
"""Upper bounds of the buckets, in seconds; the last one, which begins above an hour, has none."""


class Histogram:
    """How many durations each bucket has.

    Attributes:
        counts: That.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self.counts = list(counts) or [0] * SIZE

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_right(BOUNDS, seconds)] += 1

    def merge(self, other: Histogram) -> None:
        """Count all of another's."""
        self.counts[:] = map(int.__add__, self.counts, other.counts)

    def percentile(self, share: float) -> float:
        """The duration, an eighth more at most, that this share of all are not longer than.

        Args:
            share: From 0 to 1.

        Returns:
            Seconds; 0 if there are none.
        """
        rank, seen = max(1.0, share * sum(self.counts)), 0
        for index, count in enumerate(self.counts):
            seen += count
            if seen >= rank:
                return BOUNDS[min(index, SIZE - 2)]
        return 0.0

    def octaves(self) -> Iterator[tuple[str, int]]:
        """Bounds and how many are not above them, for a scraper: one for each power of four."""
        below = 0
        for octave in range(0, OCTAVES, 2):
            below += sum(self.counts[STEPS * octave : STEPS * (octave + 2)])
            last = octave + 2 == OCTAVES
            yield "+Inf" if last else repr(BOUNDS[STEPS * (octave + 2) - 1]), below
