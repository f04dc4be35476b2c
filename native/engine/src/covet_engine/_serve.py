"""An ASGI application on the engine without a kernel around it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from covet_engine._asgi import WithState
from covet_engine._config import EngineConfig
from covet_engine._plugin import EngineServer
from covet_http import Application, ServerOptions, asgi_lifespan


@asynccontextmanager
async def serve_asgi(
    application: Application,
    sockets: Sequence[socket.socket],
    *,
    config: EngineConfig | None = None,
    options: ServerOptions | None = None,
    stop_timeout: float = 30.0,
) -> AsyncIterator[None]:
    """Serve an ASGI 3 application while the block is entered.

    It is started first, by ASGI's lifespan protocol if it speaks that. At the end of the block what
    was accepted is answered, connections are closed, and then the application is stopped.

    Args:
        application: Starlette's, FastAPI's, Django's or any other.
        sockets: Bound, listening and non-blocking; closed here.
        config: As in ``[plugins.engine]``.
        options: As in ``[plugins.http]``.
        stop_timeout: Seconds that answering may take at the end; then connections are cut.

    Raises:
        StartupFailedError: The application could not start.
        ConfigurationError: The engine cannot run here, or not speak TLS as it is told to.
    """
    try:
        server = EngineServer(config or EngineConfig())
        async with asgi_lifespan(application) as state:
            served = application if state is None else WithState(application, state)
            async with server.listen(sockets, options or ServerOptions()) as listener:
                listener.begin(served)
                yield
                with anyio.move_on_after(stop_timeout):
                    await listener.stop()
    finally:
        for each in sockets:
            each.close()
