"""What the tests over sockets serve: one small operation for each thing a request can do to a server.

In the test's own process with `serving` and `listening`, or as a process of its own with `process`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import psutil
from pydantic import BaseModel
from wire import PATIENCE, Client, connect, connected

import covet_http as http
from covet_http import HTTP, HTTP_SERVER, Application, Http, HttpListener, ServerOptions
from covet_kernel import Context, Kernel, Plugin, PluginConfig, Serving
from covet_kernel.contracts import Metric, Operation
from covet_kernel.testing import assembly_of, run_kernel
from covet_operations import Operations, operation, operations_of

SERVERS = {"engine": ("covet_engine", "Engine"), "hypercorn": ("covet_hypercorn", "Hypercorn")}


class State:
    """What the operations have seen, new for each test.

    Attributes:
        hits: What was called, in order.
        running: Calls that have begun and not ended.
        started: A call of `wait` and its kind has begun, or a stream.
        release: Lets them go on.
    """

    def __init__(self) -> None:
        self.hits: list[Any] | deque[Any] = []
        self.events: list[str] | deque[str] = []
        self.running = 0
        self.started = anyio.Event()
        self.release = anyio.Event()


class Current:
    """Where the operations find the state, and the metrics of the server."""

    state: State
    metrics: Sequence[Metric] = ()


class Number(BaseModel):
    n: int


class Odd(BaseException):
    """Nothing that anybody expects."""


@http.get("/hit/{id}")
def hit(id: str) -> str:
    Current.state.hits.append(id)
    return id


@http.get("/later/{id}")
async def later(id: str) -> str:
    """Waits one turn of the event loop."""
    await anyio.lowlevel.checkpoint()
    Current.state.hits.append(id)
    return id


@http.get("/slow/{id}")
async def slow(id: str, ms: int) -> str:
    await anyio.sleep(ms / 1000)
    Current.state.hits.append(id)
    return id


@operation(on_disconnect="finish")
@http.get("/slow-finish/{id}")
async def slow_finish(id: str, ms: int) -> str:
    """Answers whether or not anybody seems to be there."""
    return await slow(id, ms)


@http.get("/block/{id}")
def block(id: str, ms: int) -> str:
    """Keeps the event loop's thread, as no handler should."""
    time.sleep(ms / 1000)
    Current.state.hits.append(id)
    return id


@http.post("/numbers")
def number(given: Number) -> int:
    Current.state.hits.append(given.n)
    return given.n


@http.post("/later-numbers")
async def later_number(given: Number) -> int:
    await anyio.lowlevel.checkpoint()
    Current.state.hits.append(given.n)
    return given.n


@http.post("/seen")
async def seen(given: Number, request: http.Request) -> dict[str, str]:
    """The request's fields."""
    Current.state.hits.append("seen")
    return dict(request.headers)


@http.get("/admin")
def admin() -> str:
    Current.state.hits.append("admin")
    return "admin"


@operation(requires=("books:write",))
@http.post("/guarded")
async def guarded(given: Number) -> int:
    Current.state.hits.append("guarded")
    return given.n


@http.get("/text/{size}")
def text(size: int) -> str:
    """A large answer."""
    Current.state.hits.append(size)
    return "x" * size


@http.get("/count/{to}")
async def counted(to: int) -> AsyncIterator[Number]:
    Current.state.started.set()
    try:
        for n in range(to):
            yield Number(n=n)
    finally:
        Current.state.events.append("count ended")


@http.get("/halves/{to}")
async def halves(to: int) -> AsyncIterator[Number]:
    """Waits in the middle."""
    for n in range(to // 2):
        yield Number(n=n)
    await _wait("halves")
    for n in range(to // 2, to):
        yield Number(n=n)


@http.get("/endless")
async def endless() -> AsyncIterator[str]:
    """Lines of a kilobyte; each counts as a hit when the server has taken it."""
    Current.state.started.set()
    try:
        while True:
            yield "x" * 1021
            Current.state.hits.append("line")
    finally:
        Current.state.events.append("endless ended")


@http.post("/sum")
async def total(numbers: AsyncIterator[Number]) -> int:
    found = 0
    try:
        async for each in numbers:
            found += each.n
            Current.state.hits.append(each.n)
    finally:
        Current.state.events.append("sum ended")
    return found


async def _wait(name: str) -> str:
    state = Current.state
    state.running += 1
    state.started.set()
    try:
        await state.release.wait()
    except BaseException:
        state.events.append(f"{name} cancelled")
        raise
    finally:
        state.running -= 1
    state.events.append(f"{name} finished")
    return name


@http.get("/wait")
async def wait() -> str:
    """Cancelled when the client leaves."""
    return await _wait("wait")


@http.post("/wait-post")
async def wait_post(given: Number) -> str:
    return await _wait("wait-post")


@operation(on_disconnect="finish")
@http.get("/finish")
async def finish() -> str:
    return await _wait("finish")


@operation(on_disconnect="notify")
@http.get("/notify")
async def notify(request: http.Request) -> str:
    name = await _wait("notify")
    Current.state.events.append(f"gone: {request.disconnected}")
    return name


@http.get("/wait-text/{size}")
async def wait_text(size: int) -> str:
    """Waits, then writes a large answer."""
    await _wait("wait-text")
    return "x" * size


@http.get("/stubborn")
async def stubborn() -> str:
    """Is not told by cancellation, and writes to a client that may have left."""
    with anyio.CancelScope(shield=True):
        return await _wait("stubborn")


FAILURES: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("secret"),
    "OSError": lambda: ConnectionResetError("secret"),
    "MemoryError": lambda: MemoryError("secret"),
    "RecursionError": lambda: RecursionError("secret"),
    "StopIteration": lambda: StopIteration("secret"),
    "StopAsyncIteration": lambda: StopAsyncIteration("secret"),
    "GeneratorExit": lambda: GeneratorExit("secret"),
    "Odd": lambda: Odd("secret"),
    "group": lambda: ExceptionGroup("secret", [ValueError("secret")]),
    "odd-group": lambda: BaseExceptionGroup("secret", [Odd("secret")]),
}


@http.get("/raise/{what}")
def failing(what: str) -> str:
    failure = FAILURES[what]()
    raise failure


@http.get("/raise-later/{what}")
async def failing_later(what: str) -> str:
    await anyio.lowlevel.checkpoint()
    failure = FAILURES[what]()
    raise failure


@http.get("/raise-cancelled")
async def failing_cancelled() -> str:
    """As a library does that loses a cancellation of its own."""
    raise anyio.get_cancelled_exc_class()("secret")


@http.get("/raise-in-stream")
async def failing_stream() -> AsyncIterator[Number]:
    yield Number(n=1)
    raise ValueError("secret")


@http.get("/counts")
def counts() -> dict[str, float]:
    """Every number the server tells: by the metric's name, and its labels but the instance."""
    found = {}
    for metric in Current.metrics:
        for labels, number in metric.read():
            found[" ".join([metric.name, *labels[1:]])] = number
    return found


class Shop(Plugin[None]):
    """Declares them all."""

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.compile(self._compiled)
        yield

    def _compiled(self, serving: Serving) -> None:
        Current.metrics = [each for each in serving.metrics if each.name.startswith("engine.")]

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(sys.modules[__name__])


class VersionConfig(PluginConfig):
    version: int = 1


class Versioned(Plugin[VersionConfig]):
    """Tells its version; a call must end in the phase it began in."""

    open = False

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Any) -> AsyncIterator[None]:
        self.open = True
        try:
            yield
        finally:
            self.open = False

    @http.get("/version")
    def version(self) -> int:
        assert self.open
        return self.config.version

    @http.get("/later-version")
    async def later_version(self) -> int:
        assert self.open
        await anyio.sleep(0.002)
        assert self.open
        return self.config.version

    @http.post("/version")
    async def check(self, given: Number) -> int:
        assert self.open
        await anyio.lowlevel.checkpoint()
        return self.config.version

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)


def plugin_of(server: str) -> type[Plugin[Any]]:
    module, name = SERVERS[server]
    found: type[Plugin[Any]] = getattr(import_module(module), name)
    return found


def classes(server: str) -> dict[str, type[Plugin[Any]]]:
    return {
        "operations": Operations,
        server: plugin_of(server),
        "http": Http,
        "shop": Shop,
        "versioned": Versioned,
    }


def tables(server: str, version: int = 1, **more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The configuration: ``http`` and the server's own tables go into it."""
    found = {"versioned": {"version": version}, **more}
    found["http"] = {"port": 0, "server": server, "linger": 0.05, **more.get("http", {})}
    return found


class Service:
    """A running service.

    Attributes:
        kernel: Its kernel.
        port: Where it listens.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])

    def connect(self, *, buffer: int = 0) -> Any:
        return connected(self.port, buffer=buffer)

    async def ask(self, target: str, method: str = "GET", body: bytes = b"") -> Any:
        """One request on a connection of its own."""
        async with self.connect() as client:
            return await client.ask(target, method, body)


@asynccontextmanager
async def serving(
    server: str, *, kernel: dict[str, Any] | None = None, **more: dict[str, Any]
) -> AsyncIterator[Service]:
    """Serve the operations here; ``more`` are tables of plugins."""
    Current.state = State()
    assembly = assembly_of(classes(server), tables(server, **more), kernel=kernel or {})
    async with Kernel(assembly).running() as running:
        yield Service(running)


@asynccontextmanager
async def listening(
    server: str, application: Application | None = None, *, config: Any = None, **options: Any
) -> AsyncIterator[tuple[HttpListener, int]]:
    """Serve any application here, without ``covet_http`` between it and the server."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(1024)
    bound.setblocking(False)
    port = bound.getsockname()[1]
    async with run_kernel({server: plugin_of(server)}, {server: config or {}}) as kernel:
        chosen = ServerOptions(**{"linger": 0.05, **options})
        async with kernel.require(HTTP_SERVER).listen([bound], chosen) as listener:
            if application is not None:
                listener.begin(application)
            yield listener, port


class Process:
    """A service in a process of its own.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, process: anyio.abc.Process, port: int, log: Path) -> None:
        self.port = port
        self._process = process
        self._log = log
        self._seen = psutil.Process(process.pid)

    @property
    def output(self) -> str:
        """What it has written to its standard error."""
        return self._log.read_text("utf-8", "replace")

    @property
    def resident(self) -> int:
        """Bytes of memory that are its own now."""
        return self._status("VmRSS")

    @property
    def peak(self) -> int:
        """The most bytes since it began, or since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
        raise AssertionError(f"{name} is not known")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    @property
    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def connect(self, *, buffer: int = 0) -> Any:
        return connected(self.port, buffer=buffer)

    async def ask(self, target: str, method: str = "GET", body: bytes = b"") -> Any:
        async with self.connect() as client:
            return await client.ask(target, method, body)

    async def client(self) -> Client:
        return await connect(self.port, spread=True)

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)


@asynccontextmanager
async def process(
    server: str,
    backend: str,
    *,
    flags: Iterable[str] = (),
    descriptors: int = 0,
    **more: dict[str, Any],
) -> AsyncIterator[Process]:
    """Serve the operations in a process; it has to end without complaint.

    Args:
        server: Which server.
        backend: Which event loop.
        flags: Of the interpreter.
        descriptors: How many files it may open; 0: as many as it is allowed to.
        more: Tables of plugins.
    """
    told = json.dumps({"server": server, "backend": backend, "descriptors": descriptors, **more})
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            running = await anyio.open_process(
                [sys.executable, *flags, __file__, told], stderr=errors
            )
        try:
            assert running.stdout is not None
            assert running.stdin is not None
            with anyio.fail_after(PATIENCE):
                said = b""
                while not said.endswith(b"\n"):
                    try:
                        said += await running.stdout.receive()
                    except anyio.EndOfStream:
                        raise AssertionError(log.read_text("utf-8", "replace")) from None
            found = Process(running, int(said), log)
            yield found
            with anyio.fail_after(PATIENCE):
                await running.stdin.aclose()
                assert await running.wait() == 0, found.output
        finally:
            with anyio.CancelScope(shield=True):
                if running.returncode is None:
                    running.kill()
                await running.wait()
                await running.aclose()


async def _main(told: dict[str, Any]) -> None:
    server, limit = told.pop("server"), told.pop("descriptors")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit or hard, hard))
    async with serving(server, **told) as service:
        # Nobody looks at them from outside, and memory is measured.
        Current.state.hits = deque(maxlen=100)
        Current.state.events = deque(maxlen=100)
        print(service.port, flush=True)
        async with anyio.create_task_group() as tasks:

            async def until_told() -> None:
                with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                    async for _ in signals:
                        tasks.cancel_scope.cancel()

            tasks.start_soon(until_told)
            # Whoever began this process closes its end when it ends, however it ends.
            await anyio.wait_readable(sys.stdin)
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    loop = arguments.pop("backend")
    anyio.run(_main, arguments, backend=loop)
