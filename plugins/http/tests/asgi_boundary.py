"""covet-http as the application of a server that is not there: what tests at the ASGI boundary share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel

from covet_http import HTTP_SERVER, Http
from covet_kernel import Plugin
from covet_kernel.testing import run_kernel
from covet_operations import Operations


class Captured:
    """A server without sockets: keeps the application it is given."""

    def __init__(self) -> None:
        self.application: Any = None
        self.paused = 0

    @asynccontextmanager
    async def listen(self, sockets: Any, options: Any) -> AsyncIterator[Any]:
        try:
            yield self
        finally:
            for each in sockets:
                each.close()

    def begin(self, application: Any) -> None:
        self.application = application

    async def pause(self) -> None:
        self.paused += 1

    async def stop(self) -> None: ...


@asynccontextmanager
async def application(
    web: Any, *functions: Any, plugins: Any = None, **config: Any
) -> AsyncIterator[Any]:
    """Functions served; gives the ASGI application.

    Args:
        web: The fixture.
        functions: Declare operations.
        plugins: More plugins by name.
        config: Of covet-http.
    """
    captured = Captured()

    class Server(Plugin[None]):
        provides = (HTTP_SERVER,)

        @asynccontextmanager
        async def covet_lifespan(self, ctx: Any) -> AsyncIterator[None]:
            ctx.provide(HTTP_SERVER, captured)
            yield

    classes = {
        "operations": Operations,
        "hypercorn": Server,
        "http": Http,
        "shop": web.plugin_of(*functions),
        **(plugins or {}),
    }
    async with run_kernel(classes, {"http": {"port": 0, "server": "hypercorn", **config}}):
        await anyio.wait_all_tasks_blocked()
        yield captured.application


class Exchange:
    """The two callables of one request."""

    def __init__(self, *pieces: bytes, leaves: bool = False) -> None:
        self._incoming = [
            {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
            for index, piece in enumerate(pieces or (b"",))
        ]
        self._leaves = leaves
        self.gone = anyio.Event()
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        if self._incoming:
            return self._incoming.pop(0)
        if not self._leaves:
            await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


def scope(method: str, path: str, *, query: bytes = b"", headers: Any = (), **more: Any) -> Any:
    """What a server that knows nothing optional says of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query,
        "headers": [(b"host", b"a"), *headers],
        **more,
    }
