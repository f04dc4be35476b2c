"""ASGI applications on the engine, for tests: served over a real socket in the test's own event loop."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import isfunction
from typing import Any

import httpx
from wire import PATIENCE

from covet_engine import EngineConfig, serve_asgi
from covet_http import ServerOptions

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def listening_socket(host: str = "127.0.0.1") -> socket.socket:
    """A port that nobody else has."""
    bound = socket.create_server((host, 0), backlog=1024)
    bound.setblocking(False)
    return bound


@asynccontextmanager
async def serving(
    application: Any, *, config: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[int]:
    """Serve an application; gives the port. A plain function hears of requests alone."""
    if isfunction(application):
        application = _Requests(application)
    bound = listening_socket()
    port: int = bound.getsockname()[1]
    chosen = ServerOptions(**{"linger": 0.05, **options})
    async with serve_asgi(
        application, [bound], config=EngineConfig(**(config or {})), options=chosen
    ):
        yield port


class _Requests:
    """An application that does not speak the lifespan protocol."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        return self._application(scope, receive, send)


@asynccontextmanager
async def asking(application: Any, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an application and ask it with httpx."""
    async with serving(application, **more) as port, client(port) as asking:
        yield asking


def client(port: int) -> httpx.AsyncClient:
    """One that asks this machine, whatever the environment says of proxies."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False)


async def answer(
    send: Send, body: bytes = b"", status: int = 200, *headers: tuple[bytes, bytes]
) -> None:
    """A complete answer."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
