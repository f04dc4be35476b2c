"""One kernel: the shop on SQLite, served over HTTP, over topics and over framed TCP at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio
from anyio.abc import TaskStatus
from e2e.protocols.framed import FRAMED_PORT, FramedTcp, tcp_client
from e2e.protocols.shop import Shop
from e2e.protocols.topics import TOPICS, Topics, topic_client
from e2e.protocols.watched import WATCHED, Auth, Watch
from e2e.protocols.web import web_client
from operations_testbed import client
from operations_testbed.shop import PROBE, Probe

from covet_engine import Engine
from covet_http import HTTP, Http, HttpBinding
from covet_hypercorn import Hypercorn
from covet_kernel import Assembly, Kernel, Plugin
from covet_kernel.contracts import BROKER, SQL
from covet_kernel.testing import assembly_of
from covet_memory import Memory
from covet_operations import Operations
from covet_sqlite import Sqlite

TRANSPORTS = ("http", "topic", "framed")
TOO_LONG = 40.0
"""Seconds after which a test hangs."""
CLASSES: Mapping[str, type[Plugin[Any]]] = {
    "operations": Operations,
    "http": Http,
    "memory": Memory,
    "topics": Topics,
    "framed": FramedTcp,
    "sqlite": Sqlite,
    "auth": Auth,
    "watch": Watch,
    "shop": Shop,
}


SERVERS: Mapping[str, type[Plugin[Any]]] = {"engine": Engine, "hypercorn": Hypercorn}
server = "engine"
"""The HTTP server of the kernels to come; a fixture sets it."""


class Client(client.Client, Protocol):
    """A client whose caller can vanish."""

    def vanishing(
        self, name: str, data: dict[str, Any], *, token: str = "", items: Sequence[Any] = ()
    ) -> AbstractAsyncContextManager[None]:
        """A call in flight, whose caller is gone when the block ends."""


def assembly(
    folder: Path, kernel: Mapping[str, Any] | None = None, **tables: Mapping[str, Any]
) -> Assembly:
    """The kernel's assembly; ``tables`` are added to the plugins' tables."""
    plugins: dict[str, Any] = {
        "http": {"port": 0, "linger": 0.02, "server": server},
        "sqlite": {"path": "shop.db"},
    }
    for name, table in tables.items():
        plugins[name] = {**plugins.get(name, {}), **table}
    return assembly_of(
        {**CLASSES, server: SERVERS[server]},
        plugins,
        directory=folder,
        kernel={"drain_timeout": 5.0, **(kernel or {})},
    )


class Bed:
    """The running kernel and a client per transport.

    Attributes:
        clients: By transport.
        client: The one of the transport under test.
        stop: Ends the kernel.
    """

    client: Client

    def __init__(self, kernel: Kernel, clients: Mapping[str, Client], stop: anyio.Event) -> None:
        self.kernel, self.clients, self.stop = kernel, clients, stop

    @property
    def probe(self) -> Probe:
        return self.kernel.require(PROBE)

    @property
    def log(self) -> list[str]:
        return self.probe.log

    @property
    def steps(self) -> list[str]:
        return self.kernel.require(WATCHED).steps

    def close_limit(self) -> None:
        self.kernel.require(WATCHED).limit.closed = True

    async def stock(self, book: int) -> int:
        db = self.kernel.require(SQL)
        return int(await db.fetch_value("select stock from books where id = ?", [book]))

    async def orders(self) -> list[str]:
        """The keys of all orders there are."""
        rows = await self.kernel.require(SQL).fetch_all("select key from orders order by key")
        return [row["key"] for row in rows]

    async def begun(self, calls: int) -> None:
        """Until that many calls have entered their chains."""
        await until(lambda: sum(line.startswith("begin ") for line in self.log) >= calls)

    async def ended(self) -> None:
        """Until a call has left its chain."""
        await until(lambda: any(line.startswith("end ") for line in self.log))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that no event tells of."""
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.002)


@asynccontextmanager
async def clients(kernel: Kernel) -> AsyncIterator[dict[str, Client]]:
    """A client per transport; they may outlive the kernel."""
    assert kernel.phase is not None
    bindings = {
        operation.name.rpartition(".")[2]: binding
        for operation in kernel.phase.operations
        for binding in operation.bindings
        if isinstance(binding, HttpBinding)
    }
    with anyio.fail_after(20):
        await kernel.require(TOPICS).listening.wait()
    async with (
        web_client(kernel.require(HTTP).urls[0], bindings) as web,
        topic_client(kernel.require(BROKER)) as topics,
        tcp_client(kernel.require(FRAMED_PORT)) as tcp,
    ):
        yield {"http": web, "topic": topics, "framed": tcp}


@asynccontextmanager
async def bed(
    folder: Path, transport: str = "http", **tables: Mapping[str, Any]
) -> AsyncIterator[Bed]:
    """The shop in ``folder``, and a client of it over ``transport``; clients outlive the kernel."""
    stop = anyio.Event()

    async def serve(*, task_status: TaskStatus[Kernel]) -> None:
        async with Kernel(assembly(folder, **tables)).running() as kernel:
            task_status.started(kernel)
            await stop.wait()

    with anyio.fail_after(TOO_LONG):
        async with anyio.create_task_group() as tasks:
            kernel = await tasks.start(serve)
            async with clients(kernel) as found:
                made = Bed(kernel, found, stop)
                made.client = found[transport]
                try:
                    yield made
                finally:
                    stop.set()
