"""The native engine: clients of every manner by the hundred thousand, and engines made and freed again."""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]

from layout.checkout import ROOT

# The clients and the service of the engine's own tests.
sys.path.append(str(ROOT / "native" / "engine" / "tests"))
churn, served, wire = (import_module(name) for name in ("churn", "served", "wire"))

Record = Callable[[str, Any], None]
ROUND = 10.0
"""Seconds of one seed's lives, after which nothing may be left."""
KEPT = 8 << 20
"""Bytes the server's allocator may keep once it is warm."""
WARM_UP = 50
"""Cycles after which caches and free lists are as large as they get."""
PER_CYCLE = 256
"""Bytes a cycle may cost for good."""


async def left(service: Any) -> dict[str, float]:
    """What the engine holds, less what this very question needs."""
    counts: dict[str, float] = json.loads((await service.ask("/counts")).body)
    return {
        "connections": counts["engine.connections"] - 1,
        "in flight": counts["engine.requests.in_flight"] - 1,
    }


async def test_any_client_is_served(
    anyio_backend_name: str, unfinished: Callable[[], bool], record_property: Record
) -> None:
    """Every answer is its request's, and whatever clients do, nothing of it stays."""
    http = {"keep_alive_timeout": 5.0, "read_timeout": 5.0, "write_timeout": 5.0}
    seeds = []
    async with served.process("engine", anyio_backend_name, http=http) as service:
        assert (await service.ask("/hit/first")).status == 200
        descriptors, warm = service.descriptors, 0
        clients = churn.Churn(service.port)
        while unfinished() or not warm:
            seeds.append(random.SystemRandom().randrange(1 << 32))
            until = time.monotonic() + ROUND
            await clients.run(seeds[-1], lambda until=until: time.monotonic() < until)
            with anyio.fail_after(30):
                while any((await left(service)).values()) or service.descriptors > descriptors + 1:
                    await anyio.sleep(0.1)
            warm = warm or service.resident
            assert service.resident - warm < KEPT, seeds
        record_property("connections", f"{clients.tally['lives']:,}")
        record_property("right answers", f"{clients.tally['answered']:,}")
        record_property("refused", f"{clients.tally['refused']:,}")
        record_property("left early", f"{clients.tally['left']:,}")
        record_property("rounds", len(seeds))
        record_property("descriptors", f"{service.descriptors - descriptors:+d}")
        grown = (service.resident - warm) / 2**20
        record_property("resident memory", f"{grown:+.1f} MiB after round 1")
        assert "Traceback" not in service.output


async def cycle() -> None:
    """An engine, a few connections in different states, and its end."""
    async with served.serving("engine", http={"linger": 0.0}) as service:
        clients = [await wire.connect(service.port) for _ in range(4)]
        assert (await clients[0].ask("/hit/1")).body == b'"1"'
        assert (await clients[1].ask("/numbers", "POST", b'{"n":5}')).body == b"5"
        await clients[2].send(wire.request("/hit/1")[:10])
        clients[2].finish()
        await clients[3].send(wire.request("/slow/1?ms=1"))
        assert (await clients[3].answer()).body == b'"1"'
    for client in clients:
        client.close()


async def test_engines_come_and_go(unfinished: Callable[[], bool], record_property: Record) -> None:
    process = psutil.Process()
    for _ in range(WARM_UP):
        await cycle()
    gc.collect()
    before, descriptors, cycles = process.memory_info().rss, process.num_fds(), 0
    while unfinished() or not cycles:
        await cycle()
        cycles += 1
        assert process.num_fds() <= descriptors + 1, f"after {cycles} cycles"
    gc.collect()
    grown = process.memory_info().rss - before
    record_property("cycles", f"{cycles:,}")
    record_property("descriptors", f"{process.num_fds() - descriptors:+d}")
    record_property("resident memory", f"{grown / 2**20:+.1f} MiB")
    assert process.num_fds() <= descriptors
    assert grown < KEPT + PER_CYCLE * cycles
