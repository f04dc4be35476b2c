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
from covet_kernel import ConfigurationError, Context, Plugin

if TYPE_CHECKING:
    from covet_hypercorn._tls import Tls


def require_http3() -> None:
    """Load what HTTP/3 takes.

    Raises:
        ConfigurationError: It is not installed, or not in a version that is known.
    """
    try:
        importlib.import_module("covet_hypercorn._endpoint")
    except ImportError as error:
        raise ConfigurationError(
            "COVET-HYPERCORN-HTTP3",
            f"HTTP/3 is enabled, but the library that speaks QUIC cannot be used: {error}.",
            place="plugins.hypercorn.http3",
            fix="Install it: pip install 'covet-hypercorn[http3]', or leave http3 out.",
        ) from None


class HypercornServer:
    """The `covet_http.HttpServer` made of h11 and h2, and of aioquic where HTTP/3 is enabled.

    Args:
        config: What is configured.
        directory: Where relative paths of certificates start; the current one by default.

    Attributes:
        scheme: ``"https"`` if it speaks TLS, else ``"http"``.

    Raises:
        ConfigurationError: The certificate or its key cannot be used, or HTTP/3 cannot be spoken.
    """

    def __init__(self, config: HypercornConfig, directory: Path | None = None) -> None:
        self._config = config
        self._tls: Tls | None = None
        self.scheme = "http"
        if config.tls is not None:
            from covet_hypercorn._tls import Tls

            self._tls = Tls(config.tls, http2=config.http2, directory=directory or Path())
            self.scheme = "https"
        if config.http3:
            require_http3()

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
            if self._config.http3 and sockets:
                self._add_http3(listener, sockets)
            yield listener

    def _add_http3(self, listener: Listener, sockets: Sequence[socket.socket]) -> None:
        from covet_hypercorn._endpoint import Endpoint
        from covet_hypercorn._quic_credentials import Credentials
        from covet_hypercorn._udp import bind_beside

        assert self._tls is not None
        credentials = Credentials(self._tls, listener.options, listener.max_streams)
        port = self._config.http3_port or sockets[0].getsockname()[1]
        endpoint = Endpoint(bind_beside(sockets), listener, credentials)
        listener.speak_http3(endpoint, port)


class Hypercorn(Plugin[HypercornConfig]):
    """The portable HTTP server, on asyncio and trio."""

    provides = (HTTP_SERVER,)

    def __init__(self, config: HypercornConfig) -> None:
        super().__init__(config)
        if config.http3:
            require_http3()

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        if self.config.http2:
            # Now rather than while the first client waits for it.
            importlib.import_module("covet_hypercorn._h2")
        ctx.provide(HTTP_SERVER, HypercornServer(self.config, ctx.directory))
        yield
