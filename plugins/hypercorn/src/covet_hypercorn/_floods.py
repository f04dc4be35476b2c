"""What is logged of clients that were cut off for sending too much of no use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from covet_hypercorn._connection import Address

log = logging.getLogger("covet.hypercorn")

# A line for each of them would be what a flood is for.
_PAUSE: Final = 10.0


class Floods:
    """Those that were cut off and that the log does not know of: the first, and how many.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._due = clock()
        self._first: tuple[Address, str] = None, ""
        self._count = 0

    def note(self, client: Address, why: str) -> None:
        """A client was cut off.

        Args:
            client: Its address; ``None`` if it has none.
            why: Of what there was too much.
        """
        if not self._count:
            self._first = client, why
        self._count += 1
        self.tell()

    def tell(self, *, at_last: bool = False) -> None:
        """Log one warning, however many they were, if the last one is ten seconds ago.

        Args:
            at_last: Whether nothing is told later, so that the pause does not matter.
        """
        now = self._clock()
        if not self._count or (now < self._due and not at_last):
            return
        client, why = self._first
        others = self._count - 1
        self._count, self._due = 0, now + _PAUSE
        log.warning(
            "a connection with %s was ended: %s%s",
            "a client without an address" if client is None else client,
            why,
            f"; and {others:,} others" if others else "",
        )
