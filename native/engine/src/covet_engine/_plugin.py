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

    Args:
        config: What is configured.
        meters: Where its engines are counted; new ones by default.

    Attributes:
        meters: What its engines count.
    """

    speaks_tls = True

    def __init__(self, config: EngineConfig, meters: Meters | None = None) -> None:
        self.meters = Meters() if meters is None else meters
        self._config = config

    def listen(
        self, sockets: Sequence[socket.socket], options: ServerOptions
    ) -> AbstractAsyncContextManager[HttpListener]:
        """Serve ``sockets`` on the running event loop, by the thread that runs it."""
        library = load()
        native = native_options(library, self._config, options)
        counting = self.meters.counting
        return listen(library, native, sockets, counting=counting, tls=options.tls)


class Engine(Plugin[EngineConfig]):
    """The native HTTP server, on asyncio and trio."""

    provides = (HTTP_SERVER,)

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._name = "engine"
        self._meters = Meters()

    @classmethod
    def unusable(cls) -> str:
        """Why it cannot run here, as a sentence without a full stop; ``""`` if it can."""
        return unusable()

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self._name = ctx.name
        load()  # now rather than while the first client waits for it
        ctx.provide(HTTP_SERVER, EngineServer(self.config, self._meters))
        yield

    def covet_metrics(self) -> Iterable[Metric]:
        """What the library counts."""
        return self._meters.metrics(lambda: self._name)
