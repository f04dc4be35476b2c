"""One engine, its sockets and its workers, as covet-http wants a listener."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio

from covet_engine._access import AccessLog
from covet_engine._core import Core, Kind
from covet_engine._exchange import Cancellable, Exchange, Target
from covet_engine._floods import tell_of_floods
from covet_engine._library import Library, say_without_http2
from covet_engine._pool import Pool
from covet_engine._routes import compile_everything, compile_routes
from covet_engine._wait import Loop, current_loop
from covet_http import Application, AsgiApplication, Channel

if TYPE_CHECKING:
    from covet_engine._memory import MemoryStream
    from covet_engine._tls import Tls
    from covet_http import TlsConfig

_GOING_AWAY = 1001
# A clock that is no further from the engine's is the same clock, read at another moment.
_SAME = 1.0


class Listener:
    """Sockets the engine listens on, and the calls that came by them: a `covet_http.HttpListener`.

    Made by `listen`.
    """

    def __init__(
        self, core: Core, pool: Pool, sockets: Sequence[socket.socket], tls: Tls | None = None
    ) -> None:
        self._tls = tls
        self._begun = False
        self._core = core
        self._pool = pool
        self._sockets = sockets
        self._servers = [_address(each) for each in sockets]
        self._stopping = False
        self._emptied = anyio.Event()
        self._access = AccessLog(core)

    def begin(self, application: Application) -> None:
        core, lib = self._core, self._core.lib
        if self._begun and self._tls is not None:
            # A reload: certificates are renewed without a change of the configuration.
            self._tls.reload()
            self._tls.secure(core.engine)
        self._begun = True
        targets: list[Target]
        foresee = None
        if isinstance(application, AsgiApplication):
            table = compile_routes(lib, core.ffi, application.dispatcher)
            application.track(self._requests)
            targets, routes = table.targets(core, self._servers), table.routes
        else:
            from covet_engine._asgi import AsgiTarget

            target = AsgiTarget(core, application, self._servers)
            targets, foresee = [target], target.foresee
            routes = compile_everything(lib, core.ffi)
        # Behind all others: handshakes lead there.
        lib.cv_routes_set_upgrade(routes, len(targets))
        targets.append(_channels(core, application, self._servers))
        self._pool.targets, self._pool.foresee = targets, foresee
        lib.cv_engine_begin(core.engine, routes)

    async def pause(self) -> None:
        self._core.lib.cv_engine_hold(self._core.engine)
        await self._core.quiet()

    async def stop(self) -> None:
        if not self._stopping:
            self._stopping = self._core.stopping = True
            live: list[object] = list(self._core.live.values())
            for exchange in live:
                if isinstance(exchange, Channel) and not exchange.finishing:
                    exchange.close(_GOING_AWAY, "")
            self._core.flush()
            if self._core.engine is not None:  # closed already: a worker has crashed
                self._core.lib.cv_engine_stop(self._core.engine)
            # At once: whom the system lets in from here on would be told nothing but a reset.
            for each in self._sockets:
                each.close()
        if self._core.engine is not None:
            await self._emptied.wait()
            await self._core.quiet()

    def connect(self) -> MemoryStream:
        """The client's side of a connection without a socket."""
        from covet_engine._memory import MemoryStream

        return MemoryStream(self._core)

    def notice(self, kind: int) -> None:
        """An event of the whole engine."""
        if kind == Kind.EMPTY:
            self._emptied.set()
        elif kind == Kind.LOG:
            self._access.write()
        elif kind == Kind.FLOODED:
            tell_of_floods(self._core)

    def end(self) -> None:
        """Nobody waits any longer: tell the calls that are still running why they are cancelled."""
        for request in self._requests():
            request.cancel("shutdown")

    def close(self) -> None:
        """Say what is left to be said, and close every connection."""
        self._core.flush()
        self._access.write()
        tell_of_floods(self._core)
        self._core.close()

    def _requests(self) -> Iterable[Cancellable]:
        return [each for each in self._core.live.values() if isinstance(each, Cancellable)]


@asynccontextmanager
async def listen(
    library: Library,
    native: Any,
    sockets: Sequence[socket.socket],
    *,
    counting: Callable[[Any], AbstractContextManager[None]],
    tls: TlsConfig | None = None,
) -> AsyncIterator[Listener]:
    """Make an engine and serve with it while the block is entered.

    Args:
        library: From `load`.
        native: A ``cv_options *``.
        sockets: Bound, listening and non-blocking; closed here.
        counting: Reads a ``cv_counters *`` while it is entered.
        tls: What connections are made with, if they speak TLS.

    Raises:
        OSError: The system gives no engine, or it cannot listen on one of the sockets.
        ConfigurationError: TLS is configured and cannot be spoken.
    """
    try:
        secured = None if tls is None else _secured(library, tls)
        core = Core(library.lib, library.ffi, native)
        loop = current_loop()
        clock = anyio.current_time() - monotonic()
        core.clock = clock if abs(clock) > _SAME else 0.0
        try:
            if native.http2 and not library.lib.cv_engine_speaks_http2(core.engine):
                say_without_http2()
            if secured is not None:
                secured.secure(core.engine)
                core.secure = True
            for each in sockets:
                refused = library.lib.cv_engine_listen(core.engine, each.fileno())
                if refused:
                    raise OSError(-refused, os.strerror(-refused))
            loop.open(core.fd)
            with counting(core.counters):
                async with _serve(core, loop, sockets, secured) as listener:
                    yield listener
        finally:
            loop.close()
            core.close()
    finally:
        for each in sockets:
            each.close()


def _secured(library: Library, config: TlsConfig) -> Tls:
    from covet_engine._tls import Tls

    return Tls(library, config)


@asynccontextmanager
async def _serve(
    core: Core, loop: Loop, sockets: Sequence[socket.socket], tls: Tls | None
) -> AsyncIterator[Listener]:
    """The workers of an engine."""
    listener = None
    try:
        async with anyio.create_task_group() as tasks:
            pool = Pool(core, loop, tasks)
            listener = Listener(core, pool, sockets, tls)
            pool.notice = listener.notice
            pool.start()
            try:
                yield listener
            finally:
                listener.end()
                tasks.cancel_scope.cancel()
    finally:
        if listener is not None:
            listener.close()


def _channels(
    core: Core, application: Application, servers: Sequence[tuple[str, int | None] | None]
) -> Target:
    """What handshakes of WebSocket lead to; few services have any."""
    made: Target | None = None

    def target(handle: int, at: int, size: int, flags: int) -> Exchange:
        nonlocal made
        if made is None:
            from covet_engine._websocket import WebSocketTarget

            made = WebSocketTarget(core, application, servers)
        return made(handle, at, size, flags)

    return target


def _address(each: socket.socket) -> tuple[str, int | None] | None:
    """Where a socket is bound, as ASGI says it."""
    bound = each.getsockname()
    if isinstance(bound, tuple):
        return bound[0], bound[1]
    return (os.fsdecode(bound), None) if bound else None
