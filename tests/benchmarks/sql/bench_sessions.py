"""10,000 logical sessions on 20 connections of PostgreSQL, against psycopg_pool.

Each session is a task that runs two transactions, one after the other, of a SELECT and an UPDATE by key;
all of them are there at once and wait for one of 20 connections. Both clients are as they come: ours
with its limits of time on the server, its profiler and its check of who calls, theirs with its timeouts.
What is counted: transactions in a second of the whole run, what memory a session takes while it waits, and
how long they waited for their first connection: the slowest against the median.

The memory is the process's, which each run has anew: of all sessions, and what of it the same many tasks
take that wait for an event and nothing else. The difference is what waiting for a connection costs.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import anyio
import psutil
import psycopg
import psycopg_pool
from benchmarks.measure import Comparison, interleaved, report
from services import postgres

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres

SESSIONS = 10_000
CONNECTIONS = 20
TRANSACTIONS = 2
PATIENCE = 300.0
"""Seconds a session waits for a connection at most."""

SELECT = "SELECT stock FROM books WHERE id = "
UPDATE = "UPDATE books SET stock = stock + 1 WHERE id = "

Transact = Callable[[int, Callable[[], None]], Awaitable[object]]
"""Runs one transaction on a row, and calls back when it has its connection."""


@asynccontextmanager
async def covet(url: str) -> AsyncIterator[Transact]:
    config = {
        "url": url,
        "pool_size": CONNECTIONS,
        "lane_size": 0,
        "acquire_timeout": PATIENCE,
    }
    async with run_kernel({"postgres": Postgres}, {"postgres": config}) as kernel:
        db = kernel.require(SQL)

        async def transact(key: int, begun: Callable[[], None]) -> None:
            async with db.transaction() as session:
                begun()
                await session.fetch_value(SELECT + "?", (key,))
                await session.execute(UPDATE + "?", (key,))

        yield transact


@asynccontextmanager
async def by_psycopg(url: str) -> AsyncIterator[Transact]:
    async with psycopg_pool.AsyncConnectionPool(
        url, min_size=CONNECTIONS, max_size=CONNECTIONS, timeout=PATIENCE, open=False
    ) as pool:

        async def transact(key: int, begun: Callable[[], None]) -> None:
            async with pool.connection() as connection:
                begun()
                await (await connection.execute(SELECT + "%s", (key,))).fetchone()
                await connection.execute(UPDATE + "%s", (key,))

        yield transact


RIVALS: dict[str, tuple[Callable[[str], AbstractAsyncContextManager[Transact]], str]] = {
    "covet asyncio": (covet, "asyncio"),
    "covet trio": (covet, "trio"),
    "psycopg_pool": (by_psycopg, "asyncio"),
}


async def alone() -> dict[str, float]:
    """KiB that a task takes that waits, but not for a database."""
    process, event = psutil.Process(), anyio.Event()

    async def wait(number: int) -> None:
        waited: list[float] = []
        await event.wait()
        waited.append(number)

    gc.collect()
    least = process.memory_info().rss
    async with anyio.create_task_group() as tasks:
        for number in range(SESSIONS):
            tasks.start_soon(wait, number)
        await anyio.sleep(0.1)
        most = process.memory_info().rss
        event.set()
    return {"memory": (most - least) / 1024 / SESSIONS}


async def run(rival: str, url: str) -> dict[str, float]:
    """One run in this process."""
    open_one, _ = RIVALS[rival]
    process = psutil.Process()
    waits: list[float] = []
    async with open_one(url) as transact:
        for key in range(100):
            await transact(key, lambda: None)

        async def session(number: int) -> None:
            started = perf_counter()
            waited: list[float] = []
            for turn in range(TRANSACTIONS):
                key = (number + turn * 13) % 1000
                await transact(key, lambda: waited.append(perf_counter() - started))
            waits.append(waited[0])

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, process.memory_info().rss)
                await anyio.sleep(0.05)

        gc.collect()
        least = most = process.memory_info().rss
        async with anyio.create_task_group() as watching:
            watching.start_soon(watch)
            begun, cpu = perf_counter(), process_time()
            async with anyio.create_task_group() as tasks:
                for number in range(SESSIONS):
                    tasks.start_soon(session, number)
            took, cpu = perf_counter() - begun, process_time() - cpu
            watching.cancel_scope.cancel()
    return {
        "seconds": took,
        "cpu": 1e6 * cpu / (SESSIONS * TRANSACTIONS),
        "memory": (most - least) / 1024 / SESSIONS,
        "slowest": max(waits) / median(waits),
    }


def in_a_process(*arguments: str) -> dict[str, float]:
    """What is measured in a process of its own: a rival and the server's URL, or the backend alone."""
    done = subprocess.run(
        [sys.executable, __file__, "run", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}"},
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def timed(rival: str, url: str, seen: list[dict[str, float]]) -> float:
    """Seconds for a thousand transactions."""
    seen.append(found := in_a_process(rival, url))
    return 1000 * found["seconds"] / (SESSIONS * TRANSACTIONS)


def main(runs: int) -> None:
    with postgres.database() as url:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, stock INTEGER)")
            admin.execute("INSERT INTO books SELECT n, 0 FROM generate_series(0, 999) n")
            admin.execute("ANALYZE books")
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in RIVALS}
        samples = interleaved(
            {name: partial(timed, name, url, seen[name]) for name in RIVALS}, runs
        )
    report(
        f"{SESSIONS:,} sessions on {CONNECTIONS} connections, seconds for 1,000 transactions",
        samples,
        [
            Comparison("asyncio / psycopg_pool", "covet asyncio", "psycopg_pool", 1 / 1.3),
            Comparison("trio / psycopg_pool", "covet trio", "psycopg_pool", 1 / 1.3),
        ],
        unit="s",
        digits=3,
    )
    tasks = {
        backend: median(in_a_process(backend)["memory"] for _ in range(3))
        for backend in ("asyncio", "trio")
    }
    for name, found in seen.items():
        middle = {key: median(each[key] for each in found) for key in found[0]}
        above = middle["memory"] - tasks[RIVALS[name][1]]
        print(
            f"  {name:<14} {SESSIONS * TRANSACTIONS / middle['seconds']:6.0f} transactions/s,"
            f" {middle['cpu']:4.0f} us of CPU each, {middle['memory']:4.1f} KiB a session,"
            f" {above:4.1f} of them above its task (goal under 6.5),"
            f" slowest waiter {middle['slowest']:.1f} of the median (goal at most 3)"
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", backend]:
            print(json.dumps(anyio.run(alone, backend=backend)))
        case ["run", rival, url]:
            print(json.dumps(anyio.run(run, rival, url, backend=RIVALS[rival][1])))
        case rest:
            main(int(rest[0]) if rest else 5)
