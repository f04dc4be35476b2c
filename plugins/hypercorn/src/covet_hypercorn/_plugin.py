"""The plugin: provides `covet_http.HTTP_SERVER`."""

from __future__ import annotations

import importlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from covet_http import HTTP_SERVER, HttpListener, ServerOptions
from covet_hypercorn._config import HypercornConfig
from covet_hypercorn._listener import Listener
from covet_kernel import Context, Plugin

if TYPE_CHECKING:
    from covet_hypercorn._tls import Tls


class HypercornServer:
    """The `covet_http.HttpServer` made of h11 and h2.

    Args:
        config: What is configured.
        directory: Where relative paths of certificates start; the current one by default.

    Attributes:
        scheme: ``"https"`` if it speaks TLS, else ``"http"``.

    Raises:
        ConfigurationError: The certificate or its key cannot be used.
    """

    def __init__(self, config: HypercornConfig, directory: Path | None = None) -> None:
        self._config = config
        self._tls: Tls | None = None
        self.scheme = "http"
        if config.tls is not None:
            from covet_hypercorn._tls import Tls

            self._tls = Tls(config.tls, http2=config.http2, directory=directory or Path())
            self.scheme = "https"

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
            tls=self._tls,
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
        ctx.provide(HTTP_SERVER, HypercornServer(self.config, ctx.directory))
        yield
