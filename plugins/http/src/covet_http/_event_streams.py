"""The event streams of one serving phase: kept alive while nothing happens, ended when it drains."""

from __future__ import annotations

import logging
import math
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import anyio

if TYPE_CHECKING:
    from covet_http._request import Request

log = logging.getLogger("covet.http")

_FINEST = 0.01


class EventStreams:
    """Knows every stream of events that waits for its handler.

    Args:
        keep_alive: Seconds of silence after which a comment is sent, so that proxies and clients do
            not take the stream for dead; 0: never.

    Attributes:
        draining: Whether the phase ends: streams that begin now end at once.
        comment: What is sent into a silence.
    """

    comment: Final = b":\n\n"

    def __init__(self, keep_alive: float) -> None:
        self.keep_alive = keep_alive or math.inf
        self.draining = False
        self._open: set[Request] = set()
        self._driven: set[Silence] = set()
        self._some = anyio.Event()

    def add(self, request: Request) -> None:
        """A stream that can be cancelled from now on."""
        self._open.add(request)
        if self.draining:
            request.cancel("shutdown")

    def discard(self, request: Request) -> None:
        """It has ended."""
        self._open.discard(request)

    def drain(self) -> None:
        """End all streams: clients reconnect, to whoever serves then."""
        self.draining = True
        for request in tuple(self._open):
            request.cancel("shutdown")

    def watch(self, silence: Silence) -> None:
        """Break this silence from `run` whenever it has lasted too long."""
        self._driven.add(silence)
        self._some.set()

    def forget(self, silence: Silence) -> None:
        """There is nothing more to keep alive."""
        self._driven.discard(silence)

    async def run(self) -> None:
        """Send comments where a server has no timers of its own: one task for all streams."""
        if self.keep_alive == math.inf:
            return
        async with anyio.create_task_group() as tasks:
            while True:
                if not self._driven:
                    self._some = anyio.Event()
                    await self._some.wait()
                await anyio.sleep(max(_FINEST, self.keep_alive / 8))
                late = monotonic() - self.keep_alive
                for silence in tuple(self._driven):
                    if silence.since <= late:
                        tasks.start_soon(_break, silence)


class Silence(Protocol):
    """How long a stream has been silent, and what breaks it.

    Attributes:
        since: When something was sent last, on `monotonic`'s clock.
    """

    since: float

    async def interrupt(self) -> None:
        """Send a comment, unless something else is being sent."""
        raise NotImplementedError


async def _break(silence: Silence) -> None:
    try:
        await silence.interrupt()
    except Exception:
        # The stream's own task finds out when it sends, and it is its to say.
        log.debug("a stream could not be kept alive", exc_info=True)
