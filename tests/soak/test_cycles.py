"""A service with a socket, a database, a store and a broker, started and stopped again and again."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]
import pytest
from e2e.load import http_request

import covet_http as http
from covet_http import HTTP, Http
from covet_hypercorn import Hypercorn
from covet_kernel import Context, Plugin
from covet_kernel.contracts import (
    BROKER,
    KEY_VALUE,
    SQL,
    Broker,
    KeyValueStore,
    Operation,
    SqlSession,
)
from covet_kernel.testing import run_kernel
from covet_memory import Memory
from covet_operations import Operations, operation, operations_of
from covet_sqlite import Sqlite

WARM_UP = 100
"""Cycles after which caches, pools of threads and free lists are as large as they get."""
SLACK = 4 << 20
"""Bytes the allocator may keep for itself over all cycles."""
POOLS = 40
"""Threads that event loops keep for calls that block, at most."""
PER_CYCLE = 256
"""Bytes a cycle may cost for good."""
BLOCKS = 5000
"""Allocated blocks that come and go, such as free lists."""


@operation(transaction="write")
@http.post("/visits", status=201)
async def visit(db: SqlSession, store: KeyValueStore, broker: Broker) -> dict[str, int]:
    """Touch everything there is."""
    await db.execute("INSERT INTO visits DEFAULT VALUES")
    await broker.publish("visits", b"one")
    return {
        "kept": await db.fetch_value("SELECT count(*) FROM visits"),
        "counted": await store.increment("visits"),
    }


class Visits(Plugin[None]):
    """Serves `visit`, and reads the topic it publishes to."""

    requires = (SQL, KEY_VALUE, BROKER)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        await ctx.require(SQL).execute("CREATE TABLE IF NOT EXISTS visits (id INTEGER PRIMARY KEY)")
        broker = ctx.require(BROKER)

        async def read() -> None:
            async with broker.subscribe("visits", group="visits") as messages:
                async for message in messages:
                    await message.ack()

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            yield
            group.cancel_scope.cancel()

    def covet_operations(self) -> Iterable[Operation]:
        module = ModuleType(visit.__module__)
        module.visit = visit  # type: ignore[attr-defined]
        return operations_of(module)


CLASSES: dict[str, type[Plugin[Any]]] = {
    "operations": Operations,
    "hypercorn": Hypercorn,
    "http": Http,
    "sqlite": Sqlite,
    "memory": Memory,
    "visits": Visits,
}


async def cycle(folder: Path, number: int) -> None:
    """Start, answer one request, and stop while its connection is still open."""
    config: dict[str, dict[str, Any]] = {
        "http": {"port": 0, "linger": 0, "server": "hypercorn"},
        "sqlite": {"path": "visits.db", "readers": 1},
    }
    config |= {name: {} for name in CLASSES if name not in config}
    async with run_kernel(CLASSES, config, directory=folder) as kernel:
        port = int(kernel.require(HTTP).urls[0].rpartition(":")[2])
        client = await anyio.connect_tcp("127.0.0.1", port)
        await client.send(http_request("POST", "/visits", {}))
        answer = await client.receive()
        while not answer.endswith(b"}"):
            answer += await client.receive()
        assert answer.startswith(b"HTTP/1.1 201"), answer
        # The file outlives a cycle, what is in memory does not.
        assert f'"kept":{number}'.encode() in answer, answer
        assert b'"counted":1' in answer, answer
    async with client:
        with anyio.fail_after(10):
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await client.receive()


async def test_starts_and_stops_leave_nothing(
    tmp_path: Path, unfinished: Callable[[], bool], record_property: Callable[[str, Any], None]
) -> None:
    process = psutil.Process()
    number = 0
    while number < WARM_UP:
        number += 1
        await cycle(tmp_path, number)
    gc.collect()
    before = process.memory_info().rss, sys.getallocatedblocks()
    descriptors, threads = process.num_fds(), process.num_threads()
    while unfinished():
        number += 1
        await cycle(tmp_path, number)
        assert process.num_fds() <= descriptors + 1, f"after {number} cycles"
        assert process.num_threads() <= threads + POOLS, f"after {number} cycles"
    gc.collect()
    cycles = number - WARM_UP
    grown = process.memory_info().rss - before[0]
    blocks = sys.getallocatedblocks() - before[1]
    record_property("cycles", f"{cycles:,}")
    record_property("descriptors", f"{process.num_fds() - descriptors:+d}")
    record_property("threads", f"{process.num_threads() - threads:+d}")
    record_property("resident memory", f"{grown / 2**20:+.1f} MiB")
    record_property("objects", f"{blocks:+,}")
    assert cycles > 0
    assert process.num_fds() <= descriptors
    assert grown < SLACK + PER_CYCLE * cycles
    assert blocks < BLOCKS + cycles
