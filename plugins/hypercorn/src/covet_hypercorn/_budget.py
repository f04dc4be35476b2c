"""Budgets for what costs a client little and the server work: so much at once, so much a second."""

from __future__ import annotations


class FloodError(Exception):
    """The client sends more of a kind of frame than a conversation needs."""


class Budget:
    """So many at once, refilled at a rate per second.

    Args:
        most: At once.
        rate: A second.
        now: Seconds on a clock that never goes back.
    """

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, most: int, rate: float, now: float) -> None:
        self._most = self._left = float(most)
        self._rate = rate
        self._at = now

    def spend(self, what: str, now: float) -> None:
        """Take one.

        Raises:
            FloodError: There is none left of ``what``.
        """
        self._left = min(self._most, self._left + (now - self._at) * self._rate) - 1
        self._at = now
        if self._left < 0:
            raise FloodError(what)

    def earn(self, amount: float) -> None:
        """Put some back."""
        self._left = min(self._most, self._left + amount)


# Both sides' resets in one budget (Rapid Reset, MadeYouReset): so many at once, so many a second.
RESETS = (500, 50.0)
# Frames that ask for work or an answer and carry nothing for the application.
CONTROL = (1000, 200.0)
# Windows opened further: free for as much as is sent, one for so many bytes, and for each request, which
# costs more than they do: clients of gRPC open those of stream and connection whatever is answered.
WINDOWS = (2000, 50.0)
BYTES_A_WINDOW = 512
WINDOWS_A_STREAM = 6
