"""The gate every request passes: open while a phase serves, and counting who is inside."""

from __future__ import annotations

import anyio

from covet_http._server import Application


class Calls:
    """Counts the calls in flight and holds newcomers back between two phases.

    What an `HttpListener` is made of whose server calls an ASGI application.
    """

    def __init__(self) -> None:
        self._application: Application | None = None
        self._opened = anyio.Event()
        self._quiet = anyio.Event()
        self._quiet.set()
        self._inside = 0

    @property
    def is_open(self) -> bool:
        """Whether a phase serves."""
        return self._application is not None

    def open(self, application: Application) -> None:
        """Let everybody in: a phase begins."""
        self._application = application
        self._opened.set()

    async def close(self) -> None:
        """Hold newcomers back; returns when nobody is inside."""
        self._application = None
        self._opened = anyio.Event()
        await self._quiet.wait()

    async def enter(self) -> Application:
        """The application of the present phase, or of the next if none serves."""
        while (application := self._application) is None:
            await self._opened.wait()
        if self._inside == 0:
            self._quiet = anyio.Event()
        self._inside += 1
        return application

    def leave(self) -> None:
        """Whoever has entered is answered."""
        self._inside -= 1
        if self._inside == 0:
            self._quiet.set()
