"""A listener on a free port, and a client that speaks in bytes."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.abc
import pytest
from services.http2 import held

from covet_http import Application, HttpListener, ServerOptions
from covet_hypercorn import HypercornConfig, HypercornServer

Opened = tuple[HttpListener, int]


class Client:
    """One connection: sends bytes as they are, reads one HTTP/1.1 answer at a time."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self._rest = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def head(self) -> bytes:
        while b"\r\n\r\n" not in self._rest:
            self._rest += await self.stream.receive()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of the next answer, which has to have a Content-Length."""
        head = await self.head()
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        while len(self._rest) < length:
            self._rest += await self.stream.receive()
        body, self._rest = self._rest[:length], self._rest[length:]
        return int(head.split(b" ", 2)[1]), head, body

    async def until_closed(self) -> bytes:
        data = self._rest
        self._rest = b""
        try:
            while True:
                data += await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return data


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def listening(
    application: Application | None = None,
    *,
    config: dict[str, Any] | None = None,
    host: str = "127.0.0.1",
    **options: Any,
) -> AsyncIterator[Opened]:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.bind((host, 0))
    bound.listen(128)
    bound.setblocking(False)
    port = bound.getsockname()[1]
    server = HypercornServer(HypercornConfig(**(config or {})))
    async with server.listen([bound], ServerOptions(**{"linger": 0.05, **options})) as listener:
        if application is not None:
            listener.begin(application)
        yield listener, port


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    with anyio.fail_after(20):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            yield Client(stream)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers 200 ``ok`` without reading the body."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def server() -> SimpleNamespace:
    """What is above, for test modules, which cannot import it."""
    return SimpleNamespace(
        listening=listening,
        connected=connected,
        client=Client,
        hello=hello,
        held=partial(held, hello),
        GET=GET,
    )
