"""An engine that speaks HTTP/2, in memory, for the tests of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio

from covet_engine import EngineConfig, EngineServer
from covet_http import Application, ServerOptions


@asynccontextmanager
async def serve(
    application: Application, *, config: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Any]:
    """A listener for an application."""
    server = EngineServer(EngineConfig(**{"http2": True, **(config or {})}))
    limits = ServerOptions(**{"linger": 0.05, **options})
    async with server.listen([], limits) as listener:
        listener.begin(application)
        yield listener


def counters(listener: Any) -> Any:
    """What its engine counts."""
    return listener._core.counters


def pass_time(listener: Any, seconds: float) -> None:
    """Let so much time pass for its timeouts."""
    core = listener._core
    core.lib.cv_engine_advance(core.engine, seconds)
    core.wake()


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers 200 ``ok`` without reading the body."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def held(
    then: Application = hello,
) -> tuple[Callable[[Any, Any, Any], Any], anyio.Event, anyio.Event]:
    """An application that waits to be released, and the events of its start and release."""
    started, release = anyio.Event(), anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        await release.wait()
        await then(scope, receive, send)

    return application, started, release


class Calls:
    """Counts the calls of an application."""

    def __init__(self) -> None:
        self.running = self.most = self.all = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.all += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield
        finally:
            self.running -= 1
