"""10,000 logical sessions on 20 connections of PostgreSQL, against psycopg_pool.

Each session is a task that runs two transactions, one after the other, of a SELECT and an UPDATE by key;
all of them are there at once and wait for one of 20 connections. What is counted: transactions in a
second of the whole run, what memory a waiting session takes (of the process, which each run has anew),
and how long they waited for their first connection: the slowest against the median.
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


def in_a_process(rival: str, url: str, seen: list[dict[str, float]]) -> float:
    """Seconds for a thousand transactions, in a process of its own."""
    paths = f"{Path(__file__).parents[2]}"
    done = subprocess.run(
        [sys.executable, __file__, rival, url],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    found = json.loads(done.stdout)
    seen.append(found)
    return 1000 * found["seconds"] / (SESSIONS * TRANSACTIONS)


def main(runs: int) -> None:
    with postgres.database() as url:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, stock INTEGER)")
            admin.execute("INSERT INTO books SELECT n, 0 FROM generate_series(0, 999) n")
            admin.execute("ANALYZE books")
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in RIVALS}
        samples = interleaved(
            {name: partial(in_a_process, name, url, seen[name]) for name in RIVALS}, runs
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
    for name, found in seen.items():
        middle = {key: median(each[key] for each in found) for key in found[0]}
        print(
            f"  {name:<14} {SESSIONS * TRANSACTIONS / middle['seconds']:6.0f} transactions/s,"
            f" {middle['cpu']:4.0f} us of CPU each, {middle['memory']:4.1f} KiB a session"
            f" (goal under 6.5), slowest waiter {middle['slowest']:.1f} of the median (goal at most 3)"
        )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(anyio.run(run, *sys.argv[1:3], backend=RIVALS[sys.argv[1]][1])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
