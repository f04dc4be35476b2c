"""When what failed is tried again."""

from __future__ import annotations

from random import uniform


def backoff(attempt: int, first: float, longest: float) -> float:
    """Seconds before the next attempt: they double up to the longest, less a random part.

    Args:
        attempt: How many have failed; 1 at least.
        first: Seconds behind the first.
        longest: Seconds at most.
    """
    # Beyond some doublings it is the longest anyway, and a float would overflow.
    whole = min(longest, first * 2.0 ** min(attempt - 1, 60))
    # By chance, or those that failed together would meet again.
    return uniform(whole / 2, whole)  # noqa: S311
