"""The ASGI boundary keeps the contract of WebSockets, as far as ASGI's messages go."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from covet_http import (
    CHANNEL,
    HTTP_SERVER,
    Application,
    HttpListener,
    Receive,
    Scope,
    Send,
    ServerOptions,
)
from covet_http.testing import WebSocketSuite
from covet_hypercorn import Hypercorn, HypercornServer
from covet_kernel import Context

pytestmark = pytest.mark.once


class Plain(HypercornServer):
    """The portable server, as one that speaks nothing but ASGI."""

    @asynccontextmanager
    async def listen(
        self, sockets: Sequence[socket.socket], options: ServerOptions
    ) -> AsyncIterator[HttpListener]:
        async with super().listen(sockets, options) as listener:
            begin = listener.begin

            def begin_plainly(application: Application) -> None:
                async def plain(scope: Scope, receive: Receive, send: Send) -> None:
                    scope["extensions"].pop(CHANNEL, None)
                    await application(scope, receive, send)

                begin(plain)

            listener.begin = begin_plainly  # type: ignore[method-assign]
            yield listener


class PlainPlugin(Hypercorn):
    """Provides it."""

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(HTTP_SERVER, Plain(self.config))
        yield


class TestAsgi(WebSocketSuite):
    server = "hypercorn"
    plugins = {"hypercorn": PlainPlugin}
