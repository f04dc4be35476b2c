"""The plugin: provides `covet_http.HTTP_SERVER`."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from covet_engine._config import EngineConfig, native_options
from covet_engine._library import load, unusable
from covet_engine._listener import listen
from covet_engine._metrics import Meters
from covet_http import HTTP_SERVER, HttpListener, ServerOptions
from covet_kernel import Context, Plugin
from covet_kernel.contracts import Metric


class EngineServer:
    """The `covet_http.HttpServer` made of the native library: one engine for each `listen`.

    Attributes:
        meters: What its engines count.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.meters = Meters()
        self._config = config

    def listen(
        self, sockets: Sequence[socket.socket], options: ServerOptions
    ) -> AbstractAsyncContextManager[HttpListener]:
        """Serve ``sockets`` on the running event loop, by the thread that runs it."""
        library = load()
        native = native_options(library, self._config, options)
        return listen(library, native, sockets, counting=self.meters.counting)


class Engine(Plugin[EngineConfig]):
    """The native HTTP server, on asyncio and trio."""

    provides = (HTTP_SERVER,)

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._name = "engine"
        self._server = EngineServer(config)

    @classmethod
    def unusable(cls) -> str:
        """Why it cannot run here, as a sentence without a full stop; ``""`` if it can."""
        return unusable()

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._name = ctx.name
        load()  # now rather than while the first client waits for it
        ctx.provide(HTTP_SERVER, self._server)
        yield

    def covet_metrics(self) -> Iterable[Metric]:
        """What the library counts."""
        return self._server.meters.metrics(lambda: self._name)
