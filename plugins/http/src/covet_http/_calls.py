"""The gate every request passes: open while a phase serves, and counting who is inside."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from covet_http._server import Application


class Calls:
    """Counts the calls in flight and holds newcomers back between two phases.

    What an `HttpListener` is made of whose server calls an ASGI application.

    Attributes:
        application: Of the present phase; ``None`` if none serves.
        inside: How many have entered. Who finds an application may count himself in at once, and then
            has to `leave` like those who `enter`.
    """

    def __init__(self) -> None:
        self.application: Application | None = None
        self._opened = anyio.Event()
        self.quiet: anyio.Event | None = None
        self.inside = 0

    @property
    def is_open(self) -> bool:
        """Whether a phase serves."""
        return self.application is not None

    def open(self, application: Application) -> None:
        """Let everybody in: a phase begins."""
        self.application = application
        self._opened.set()

    async def close(self) -> None:
        """Hold newcomers back; returns when nobody is inside."""
        self.application = None
        self._opened = anyio.Event()
        await checkpoint()
        while self.inside:
            if self.quiet is None:
                self.quiet = anyio.Event()
            await self.quiet.wait()

    async def enter(self) -> Application:
        """The application of the present phase, or of the next if none serves."""
        while (application := self.application) is None:
            await self._opened.wait()
        self.inside += 1
        return application

    def leave(self) -> None:
        """Whoever has entered is answered."""
        self.inside -= 1
        if self.inside == 0 and self.quiet is not None:
            self.quiet.set()
            self.quiet = None
