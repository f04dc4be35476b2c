"""Positions in the write-ahead log: what a server has written, and what a replica has replayed."""

from __future__ import annotations

BLOCK = 8192
"""The size of a page of the log, unless the server was built with another."""
HEADERS = (24, 40)
"""What a page begins with: the first of a segment has the longer one."""


def position(text: str, block: int = BLOCK) -> int:
    """A position as a number, such as ``"16/B374D848"``.

    A record that fills its page ends there; what is written next begins behind the next page's
    header, and that is where the primary says it is. It is the same place to somebody who waits for
    what was written before.

    Args:
        text: As PostgreSQL writes it.
        block: The size of a page.
    """
    high, _, low = text.partition("/")
    number = (int(high, 16) << 32) | int(low, 16)
    return number - number % block if number % block in HEADERS else number
