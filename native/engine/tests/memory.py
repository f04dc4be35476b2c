"""covet-http's routes on an engine without sockets: bytes go in and come out where a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
from wire import Answer, Incomplete, read_answer

from covet_engine._config import EngineConfig, native_options
from covet_engine._library import load
from covet_engine._listener import Listener, listen
from covet_http import HTTP_SERVER, AsgiApplication, Http, HttpConfig
from covet_kernel import Context, Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import run_kernel
from covet_operations import Operations, operations_of

_ROOM = 1 << 16


class Captured:
    """Stands where a server would, and takes the application."""

    application: AsgiApplication

    @asynccontextmanager
    async def listen(self, sockets: Sequence[Any], options: Any) -> AsyncIterator[Captured]:
        yield self
        for each in sockets:
            each.close()

    def begin(self, application: Any) -> None:
        self.application = application

    async def pause(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def stop(self) -> None:
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def compiled(*functions: Any, http: Any = None, **tables: Any) -> AsyncIterator[Any]:
    """The application that covet-http makes of these functions.

    ``tables`` are more plugins: a class each.
    """
    captured = Captured()
    module = ModuleType("shop")
    for function in functions:
        function.__module__ = "shop"
        setattr(module, function.__name__, function)

    class Shop(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            return operations_of(module)

    class Capture(Plugin[None]):
        provides = (HTTP_SERVER,)

        @asynccontextmanager
        async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
            ctx.provide(HTTP_SERVER, captured)
            yield

    classes = {"http": Http, "engine": Capture, "operations": Operations, "shop": Shop, **tables}
    config = {"http": {"server": "engine", "port": 0, **(http or {})}}
    async with run_kernel(classes, config):
        with anyio.fail_after(5):
            while not hasattr(captured, "application"):
                await anyio.lowlevel.checkpoint()
        yield captured.application


class Connection:
    """A client's side of one connection."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._data = bytearray()
        self._into = memory.ffi.new("uint8_t[]", _ROOM)
        self.closed = False
        self.number = memory.lib.cv_engine_open(memory.engine)
        assert self.number

    async def send(self, data: bytes) -> None:
        """Send all of it, as fast as it is taken."""
        with anyio.fail_after(10):
            while data:
                taken = self.send_now(data)
                assert taken >= 0, "the connection is closed"
                data = data[taken:]
                await anyio.lowlevel.checkpoint()

    def send_now(self, data: bytes) -> int:
        memory = self._memory
        return int(memory.lib.cv_engine_feed(memory.engine, self.number, data, len(data)))

    def drain(self, most: int = _ROOM) -> int:
        """Read some of what the engine has to say; how much it was."""
        memory = self._memory
        size = int(memory.lib.cv_engine_drain(memory.engine, self.number, self._into, most))
        if size < 0:
            self.closed = True
            return 0
        self._data += bytes(memory.ffi.buffer(self._into, size))
        return size

    async def answer(self, method: str = "GET") -> Answer:
        with anyio.fail_after(10):
            while True:
                try:
                    return read_answer(self._data, method, ended=self.closed)
                except Incomplete:
                    assert not self.closed, f"closed behind {bytes(self._data)!r}"
                    self.drain()
                    await anyio.lowlevel.checkpoint()

    async def until_closed(self) -> bytes:
        """All that comes until the engine closes."""
        with anyio.fail_after(10):
            while not self.closed:
                self.drain()
                await anyio.lowlevel.checkpoint()
        return bytes(self._data)

    async def until(self, found: bytes) -> None:
        """Read until this is among what came."""
        with anyio.fail_after(10):
            while found not in self._data:
                self.drain()
                await anyio.lowlevel.checkpoint()

    async def ask(
        self, target: str, method: str = "GET", body: bytes = b"", headers: str = ""
    ) -> Answer:
        await self.send(request(target, method, body, headers))
        return await self.answer(method)

    def leave(self) -> None:
        """The client resets."""
        self._memory.lib.cv_engine_drop(self._memory.engine, self.number)


def request(target: str, method: str = "GET", body: bytes = b"", headers: str = "") -> bytes:
    """The bytes of a request; a body is JSON unless ``headers`` say otherwise."""
    lines = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}"
    if body or method in ("POST", "PUT", "PATCH"):
        lines += f"Content-Length: {len(body)}\r\n"
        if "content-type" not in headers.lower():
            lines += "Content-Type: application/json\r\n"
    return lines.encode("latin-1") + b"\r\n" + body


class Memory:
    """An engine that serves, and its clients."""

    def __init__(self, listener: Listener, application: Any) -> None:
        self.listener = listener
        self.application = application
        self.core = listener._core
        self.lib = self.core.lib
        self.ffi = self.core.ffi
        self.engine = self.core.engine

    def connect(self) -> Connection:
        return Connection(self)

    async def ask(
        self, target: str, method: str = "GET", body: bytes = b"", headers: str = ""
    ) -> Answer:
        return await self.connect().ask(target, method, body, headers)

    def pass_time(self, seconds: float) -> None:
        self.lib.cv_engine_advance(self.engine, seconds)

    async def settle(self, turns: int = 25) -> None:
        """Let everybody who can run do so."""
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()

    async def until(self, condition: Callable[[], object]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def serving(
    application: Any, *, engine: Any = None, http: Any = None
) -> AsyncIterator[Memory]:
    """An engine that serves an application."""
    library = load()
    options = HttpConfig(linger=0.0, **(http or {})).server_options(Path())
    native = native_options(library, EngineConfig(**(engine or {})), options)
    async with listen(library, native, [], counting=lambda counters: nullcontext()) as listener:
        listener.begin(application)
        yield Memory(listener, application)


@asynccontextmanager
async def memory(
    *functions: Any, engine: Any = None, http: Any = None, **tables: Any
) -> AsyncIterator[Memory]:
    """An engine that serves these functions."""
    async with (
        compiled(*functions, http=http, **tables) as application,
        serving(application, engine=engine) as running,
    ):
        yield running
