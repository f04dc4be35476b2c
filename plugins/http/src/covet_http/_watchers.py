"""Looking for clients that have left, where a server says so only to those who ask it.

By ASGI somebody has to wait for that in a task. Most calls that wait at all are over sooner than a task
for each of them would have paid off, so only those get one that take their time.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final, Protocol

import anyio

log = logging.getLogger("covet.http")

PATIENCE: Final = 0.05
"""Seconds a call has waited at least when somebody begins to watch its client."""


class Watched(Protocol):
    """A call whose client may leave."""

    async def watch(self) -> None:
        """Return when the client is gone."""

    def disconnect(self) -> None:
        """The client is gone."""


class Watchers:
    """The watchers of one serving phase, in tasks of their own."""

    def __init__(self) -> None:
        self._waiting: dict[Watched, float] = {}
        self._watched: dict[Watched, _Watcher] = {}
        self._some: anyio.Event | None = None

    def add(self, call: Watched, since: float) -> None:
        """A call that waits.

        Args:
            call: It ends with `remove`.
            since: When it began, on `monotonic`'s clock.
        """
        self._waiting[call] = since
        if self._some is not None:
            self._some.set()

    async def remove(self, call: Watched) -> None:
        """It is over; nobody watches it when this returns."""
        if self._waiting.pop(call, None) is None:
            watcher = self._watched.pop(call, None)
            if watcher is not None:
                watcher.scope.cancel()
                with anyio.CancelScope(shield=True):
                    await watcher.over.wait()

    async def run(self) -> None:
        """Watch calls that take long, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                if not self._waiting:
                    self._some = anyio.Event()
                    await self._some.wait()
                    self._some = None
                await anyio.sleep(PATIENCE)
                late = monotonic() - PATIENCE
                for call in [call for call, since in self._waiting.items() if since <= late]:
                    del self._waiting[call]
                    watcher = self._watched[call] = _Watcher()
                    tasks.start_soon(watcher.run, call)


class _Watcher:
    """The watcher of one call."""

    __slots__ = ("over", "scope")

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.over = anyio.Event()

    async def run(self, call: Watched) -> None:
        try:
            with self.scope:
                await call.watch()
                call.disconnect()
        except Exception:
            log.exception("a server does not say whether a client has left")
        finally:
            self.over.set()
