"""Covet as an ASGI application: the kernel lives in the lifespan of somebody else's server."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from covet_http._asgi import AsgiApplication
from covet_http._calls import Calls
from covet_http._server import (
    HTTP_SERVER,
    OUTER,
    Application,
    HttpListener,
    Receive,
    Scope,
    Send,
    ServerOptions,
)
from covet_kernel import Context, Plugin, flatten, installed

if TYPE_CHECKING:
    from covet_kernel import Assembly, Settings

log = logging.getLogger("covet.http")


class OuterListener:
    """What requests come by when another server calls: an `HttpListener` without sockets.

    Attributes:
        begun: Set when the first phase serves.
        calls: The gate that requests pass.
    """

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.calls = Calls()

    def begin(self, application: Application) -> None:
        self.calls.open(application)
        self.begun.set()

    async def pause(self) -> None:
        await self.calls.close()

    async def stop(self) -> None:
        await self.calls.close()
        # Whoever came meanwhile would wait for a phase that never begins.
        self.calls.open(_unavailable)


class _OuterServer:
    def listen(
        self, sockets: Sequence[socket.socket], options: ServerOptions
    ) -> AbstractAsyncContextManager[HttpListener]:
        return self._listen()

    @asynccontextmanager
    async def _listen(self) -> AsyncIterator[HttpListener]:
        yield OuterListener()


class AsgiHost(Plugin[None]):
    """Provides `HTTP_SERVER` inside of `asgi_app`; nobody else enables it."""

    provides = (HTTP_SERVER,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(HTTP_SERVER, _OuterServer())
        yield


class AsgiService:
    """The ASGI application that `asgi_app` makes: a kernel per lifespan.

    Args:
        assemble: Makes the assembly, whose only HTTP server is an `AsgiHost`.
    """

    def __init__(self, assemble: Callable[[], Assembly]) -> None:
        self._assemble = assemble
        self._calls: Calls | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        calls = self._calls
        if calls is None:
            await _unavailable(scope, receive, send)
            return
        application = calls.application
        if application is None:
            application = await calls.enter()
        else:
            calls.inside += 1
        try:
            if isinstance(application, AsgiApplication):
                # What it does when it is called, without one more coroutine around it.
                begun = application.begin(scope, receive, send)
                if isinstance(begun, tuple):
                    start, body = begun
                    await send(start)
                    await send(body)
                    return
                await begun
            else:
                await application(scope, receive, send)
        finally:
            # The same as `leave`, which there is seldom more to.
            if calls.inside > 1 or calls.quiet is None:
                calls.inside -= 1
            else:
                calls.leave()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        started = asked = False
        try:
            from covet_http._plugin import HTTP
            from covet_kernel import Kernel

            async with Kernel(self._assemble()).running() as kernel:
                listener = kernel.require(HTTP).listener
                assert isinstance(listener, OuterListener)
                # What can fail only then, a mounted application, is a failed start too.
                await listener.begun.wait()
                self._calls = listener.calls
                started = True
                await send({"type": "lifespan.startup.complete"})
                await receive()
                asked = True
        except Exception as error:
            reason = "\n".join(_told(each) for each in flatten(error))
            if not started:
                await send({"type": "lifespan.startup.failed", "message": reason})
                return
            log.critical("the service has ended: %s", reason, exc_info=error)
            self._calls = None
            if not asked:
                # The server lives on, and every request is answered 503.
                await receive()
            await send({"type": "lifespan.shutdown.failed", "message": reason})
        else:
            await send({"type": "lifespan.shutdown.complete"})
        finally:
            self._calls = None


def asgi_app(
    config: str | Path = "covet.toml",
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> AsgiService:
    """The service of a configuration as an ASGI 3 application, for uvicorn, Granian or Hypercorn.

    Everything is assembled and started in the lifespan of the server, on its event loop, be it
    asyncio or trio; what is wrong is told with ``lifespan.startup.failed``. Nothing is bound: host,
    port, TLS and the limits of the server are the server's own: what the configuration says of them, and
    tables of covet's HTTP servers, is passed over.

    Args:
        config: The configuration's file.
        overrides: ``"key.path=value"``, as of ``covet --set``.
        environ: Where ``COVET_`` variables are looked up; the process's environment unless given.
    """

    def assembled() -> Assembly:
        from covet_kernel import Settings, assemble

        found = os.environ if environ is None else environ
        settings = Settings.load(Path(config), environ=found, overrides=overrides)
        _take_over(settings)
        return assemble(settings)

    return AsgiService(assembled)


def _take_over(settings: Settings) -> None:
    """Let the outer server be the only one."""
    plugins = settings.tree.get("plugins")
    servers = installed("covet.http_servers")
    if isinstance(plugins, dict):
        for name in [name for name in plugins if name.partition("/")[0] in servers]:
            del plugins[name]
        if isinstance(plugins.get("http"), dict):
            plugins["http"].pop("tls", None)
    settings.put(("plugins", OUTER, "use"), f"{__name__}:{AsgiHost.__name__}", "asgi_app")
    settings.put(("plugins", "http", "server"), OUTER, "asgi_app")


async def _unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    """What is heard before the service has started, and after it has ended."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1012})
        return
    headers = [(b"content-length", b"0"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _told(error: BaseException) -> str:
    said = str(error)
    return said if said.startswith("COVET-") else f"{type(error).__name__}: {said}"
