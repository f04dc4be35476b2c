"""Wakes who works a table off: from this process, and from PostgreSQL."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel

from covet_kernel.contracts import SqlDatabase, SqlError

FIRST_LOOK = 0.002
"""Seconds: what is expected comes with a commit, so the first look may be too early."""
AGAIN = 1.0
"""Seconds until a database that cannot be listened to is tried again."""
NOT_SUPPORTED = "0A000"


class Doorbell:
    """What idle workers wait at.

    Attributes:
        rings: How often it was rung.
        expected: How often it was said that a transaction will bring something.
    """

    def __init__(self) -> None:
        self._rung = anyio.Event()
        self.rings = 0
        self.expected = 0

    def ring(self) -> None:
        """There is something to do."""
        self.rings += 1
        rung, self._rung = self._rung, anyio.Event()
        rung.set()

    def expect(self) -> None:
        """There will be something to do once a transaction of this process has committed."""
        self.expected += 1
        self.ring()

    async def wait(self, seconds: float) -> None:
        """Until it is rung, or for that long."""
        with anyio.move_on_after(seconds):
            await self._rung.wait()

    async def listen(self, db: SqlDatabase, channel: str) -> None:
        """Ring when the database tells of a commit, until cancelled; returns if it cannot."""
        listen: Any = getattr(db, "listen", None)
        if listen is None:
            return
        while True:
            try:
                # One that was missed is like one that was heard: whoever is woken looks for himself.
                async with listen((channel,), 1) as heard:
                    self.ring()
                    async for _ in heard:
                        self.ring()
            except SqlError as error:
                if error.sqlstate == NOT_SUPPORTED:
                    return
            await anyio.sleep(AGAIN)


class Looks:
    """When a worker that found nothing looks again.

    Args:
        doorbell: Where it waits.
        poll: Seconds between two looks when nothing is expected.
    """

    def __init__(self, doorbell: Doorbell, poll: float) -> None:
        self._doorbell = doorbell
        self._poll = poll
        self._next = poll
        self._rings = self._expected = 0

    async def pause(self) -> None:
        """Until the doorbell rings; for a moment, and then ever longer, if something is expected."""
        if self._expected != self._doorbell.expected:
            self._expected = self._doorbell.expected
            self._next = FIRST_LOOK
        # Not if it was rung while its worker looked, and perhaps too early.
        if self._rings == self._doorbell.rings:
            await self._doorbell.wait(min(self._next, self._poll))
        self._rings = self._doorbell.rings
        await anyio.lowlevel.checkpoint()
        self._next = min(self._next * 2, self._poll)
