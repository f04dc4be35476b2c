"""The plugin: provides `covet_http.HTTP_SERVER`."""

from __future__ import annotations

import importlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from covet_http import HTTP_SERVER, HttpListener, ServerOptions
from covet_hypercorn._config import HypercornConfig
from covet_hypercorn._listener import Listener
from covet_kernel import ConfigurationError, Context, Plugin

if TYPE_CHECKING:
    from covet_http import TlsConfig
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


def check_http3(tls: TlsConfig | None) -> None:
    """See whether HTTP/3 can be spoken with such a table.

    Raises:
        ConfigurationError: It cannot.
    """
    if tls is None:
        problem, fix = "HTTP/3 is never spoken without TLS", "Add the table [plugins.http.tls]"
    elif tls.client_ca is not None:
        problem = "HTTP/3 cannot ask clients for certificates"
        fix = "Leave client_ca of [plugins.http.tls] out"
    elif tls.sni:
        problem, fix = "HTTP/3 knows one certificate", "Leave sni of [plugins.http.tls] out"
    else:
        return
    raise ConfigurationError(
        "COVET-HYPERCORN-HTTP3",
        f"HTTP/3 is enabled, and {problem}.",
        place="plugins.hypercorn.http3",
        fix=f"{fix}, or leave http3 out.",
    )


class HypercornServer:
    """The `covet_http.HttpServer` made of h11 and h2, and of aioquic where HTTP/3 is enabled.

    Args:
        config: What is configured.

    Raises:
        ConfigurationError: HTTP/3 cannot be spoken.
    """

    speaks_tls = True

    def __init__(self, config: HypercornConfig) -> None:
        self._config = config
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
        try:
            tls = self._secured(options.tls)
        except BaseException:
            for each in sockets:
                each.close()
            raise
        listener = Listener(
            sockets,
            options,
            http2=self._config.http2,
            max_streams=self._config.max_streams,
            access_log=self._config.access_log,
            tls=tls,
        )
        async with listener.open():
            if self._config.http3 and sockets:
                assert tls is not None
                self._add_http3(listener, sockets, tls)
            yield listener

    def _secured(self, config: TlsConfig | None) -> Tls | None:
        """What connections are made with, if they speak TLS."""
        if self._config.http3:
            check_http3(config)
        if config is None:
            return None
        from covet_hypercorn._tls import Tls

        return Tls(config, http2=self._config.http2)

    def _add_http3(self, listener: Listener, sockets: Sequence[socket.socket], tls: Tls) -> None:
        from covet_hypercorn._endpoint import Endpoint
        from covet_hypercorn._quic_credentials import Credentials
        from covet_hypercorn._udp import bind_beside

        credentials = Credentials(tls, listener.options, listener.max_streams)
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
        ctx.provide(HTTP_SERVER, HypercornServer(self.config))
        yield
