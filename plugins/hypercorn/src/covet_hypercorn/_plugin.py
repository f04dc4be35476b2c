"""The plugin: provides `covet_http.HTTP_SERVER`."""

from __future__ import annotations

import importlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pydantic import Field

from covet_http import HTTP_SERVER, HttpListener, ServerOptions
from covet_hypercorn._listener import Listener
from covet_kernel import Context, Plugin, PluginConfig


class HypercornConfig(PluginConfig):
    """``[plugins.hypercorn]``. Limits that every server has are in ``[plugins.http]``."""

    http2: bool = Field(
        default=False, description="Speak HTTP/2 over cleartext to clients that begin with it."
    )
    max_streams: int = Field(
        default=100, ge=1, le=10_000, description="Concurrent HTTP/2 streams a connection."
    )
    access_log: bool = Field(
        default=False, description="One JSON line per request on the logger 'covet.http.access'."
    )


class HypercornServer:
    """The `covet_http.HttpServer` made of h11 and Hypercorn's HTTP/2."""

    def __init__(self, config: HypercornConfig) -> None:
        self._config = config

    def listen(
        self, sockets: Sequence[socket.socket], options: ServerOptions
    ) -> AbstractAsyncContextManager[HttpListener]:
        return self._listen(sockets, options)

    @asynccontextmanager
    async def _listen(
        self, sockets: Sequence[socket.socket], options: ServerOptions
    ) -> AsyncIterator[HttpListener]:
        listener = Listener(
            sockets,
            options,
            http2=self._config.http2,
            max_streams=self._config.max_streams,
            access_log=self._config.access_log,
        )
        async with listener.open():
            yield listener


class Hypercorn(Plugin[HypercornConfig]):
    """The portable HTTP server, on asyncio and trio."""

    provides = (HTTP_SERVER,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        if self.config.http2:
            # Now rather than while the first client waits for it.
            importlib.import_module("covet_hypercorn._h2")
        ctx.provide(HTTP_SERVER, HypercornServer(self.config))
        yield
