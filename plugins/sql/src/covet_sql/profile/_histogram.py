"""Durations by their order of magnitude: a fixed number of counts, whatever is added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import frexp
from typing import Final

STEPS: Final = 8
"""Buckets for each power of two: the bounds of one differ by an eighth at most."""
LOWEST: Final = -19
"""What is below ``2 ** (LOWEST - 1)`` seconds, about a microsecond, is in the first bucket."""
OCTAVES: Final = 32
SIZE: Final = STEPS * OCTAVES
LAST: Final = SIZE - 1
"""The last bucket, which has no upper bound; it begins above an hour."""
SHIFT: Final = -STEPS * (LOWEST + 1)
SCALE: Final = 2.0 * STEPS
"""A duration's exponent times `STEPS`, its mantissa times this, and `SHIFT` are its bucket."""


def place(seconds: float) -> int:
    """The bucket of a duration."""
    mantissa, exponent = frexp(seconds or 1e-9)
    found = STEPS * exponent + int(SCALE * mantissa) + SHIFT
    return 0 if found < 0 else min(found, LAST)


def bound(index: int) -> float:
    """The upper bound of a bucket, in seconds."""
    octave, step = divmod(index, STEPS)
    return float(2 ** (LOWEST + octave - 1) * (1 + (step + 1) / STEPS))


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
        self.counts[place(seconds)] += 1

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
                return bound(index)
        return 0.0

    def octaves(self) -> Iterator[tuple[str, int]]:
        """Bounds and how many are not above them, for a scraper: one for each power of four."""
        below = 0
        for octave in range(0, OCTAVES, 2):
            below += sum(self.counts[STEPS * octave : STEPS * (octave + 2)])
            last = octave + 2 == OCTAVES
            yield "+Inf" if last else repr(bound(STEPS * (octave + 2) - 1)), below
