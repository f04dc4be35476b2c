"""A service made of given operations, and clients that speak in bytes or in requests."""

from __future__ import annotations

import json as stdjson
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import anyio.abc
import pytest

from covet_http import HTTP, Http
from covet_http.testing import Connection, usable_servers
from covet_hypercorn import Hypercorn
from covet_kernel import Kernel, Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import run_kernel
from covet_operations import Operations, operations_of

# What tests share beside fixtures.
sys.path.insert(0, str(Path(__file__).parent))

from lax_server import LaxServer


def plugin_of(*functions: Any, **more: Any) -> type[Plugin[None]]:
    """A plugin that declares these functions' operations."""
    module = ModuleType("shop")
    for function in functions:
        function.__module__ = "shop"
        setattr(module, function.__name__, function)

    class Shop(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            return operations_of(module)

    for name, value in more.items():
        setattr(Shop, name, value)
    return Shop


@dataclass
class Answer:
    """One HTTP/1.1 answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return stdjson.loads(self.body)


class Client:
    """One connection to the service."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self._connection = Connection(stream)

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def ask(
        self,
        method: str,
        target: str,
        *,
        json: Any = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        head = {"Host": "localhost", **(headers or {})}
        if json is not None:
            body = stdjson.dumps(json).encode()
            head.setdefault("Content-Type", "application/json")
        if body or method in ("POST", "PUT", "PATCH"):
            head.setdefault("Content-Length", str(len(body)))
        lines = [
            f"{method} {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in head.items()),
        ]
        await self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        found = await self._connection.answer(method)
        return Answer(found.status, dict(found.headers), found.body)

    async def until(self, found: bytes) -> bytes:
        """What comes, raw, until this is in it."""
        data = b""
        while found not in data:
            data += await self._connection.receive()
        return data

    async def until_closed(self) -> bytes:
        return await self._connection.until_closed()


class Service:
    """A running service.

    Attributes:
        kernel: Its kernel.
        port: Where it listens.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.url = kernel.require(HTTP).urls[0]
        self.port = int(self.url.rpartition(":")[2])

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        with anyio.fail_after(20):
            async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
                yield Client(stream)

    async def ask(self, method: str, target: str, **more: Any) -> Answer:
        async with self.connect() as client:
            return await client.ask(method, target, **more)


@asynccontextmanager
async def serving(
    *functions: Any,
    servers: dict[str, type[Plugin[Any]]],
    http: dict[str, Any] | None = None,
    plugins: dict[str, type[Plugin[Any]]] | None = None,
    config: dict[str, Any] | None = None,
    kernel: dict[str, Any] | None = None,
    directory: Path | None = None,
) -> AsyncIterator[Service]:
    """Serve these functions' operations on a free port, with the first of these servers."""
    classes: dict[str, type[Plugin[Any]]] = {
        "operations": Operations,
        **servers,
        "http": Http,
        "shop": plugin_of(*functions),
        **(plugins or {}),
    }
    server = next(iter(servers))
    tables = {
        "http": {"port": 0, "linger": 0.05, "server": server, **(http or {})},
        **(config or {}),
    }
    async with run_kernel(classes, tables, directory=directory, kernel=kernel or {}) as running:
        yield Service(running)


@pytest.fixture(params=usable_servers())
def http_server(request: pytest.FixtureRequest) -> str:
    """The id of each HTTP server in turn, for `covet_http.testing.run_service`."""
    name: str = request.param
    return name


def _web(name: str) -> SimpleNamespace:
    servers: dict[str, type[Plugin[Any]]] = {"hypercorn": Hypercorn}
    if name == "engine":
        servers = {"engine": pytest.importorskip("covet_engine").Engine}
    elif name == "asgi":
        servers = {"hypercorn": LaxServer}
    return SimpleNamespace(
        serving=partial(serving, servers=servers),
        server=name,
        servers=servers,
        plugin_of=plugin_of,
        Client=Client,
        Service=Service,
    )


@pytest.fixture(params=["hypercorn", "engine"])
def web(request: pytest.FixtureRequest) -> SimpleNamespace:
    """What is above, for test modules, which cannot import it; with each server in turn.

    The servers keep one contract, so every test that does not say otherwise holds for both.
    """
    return _web(request.param)


@pytest.fixture(params=["hypercorn", "engine", "asgi"])
def entry(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The same with each way into a service: the servers, and the ASGI boundary behind a lax one.

    For what covet-http has to refuse by itself, whoever has read the request.
    """
    return _web(request.param)
