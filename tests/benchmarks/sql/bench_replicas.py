"""What it costs to read from replicas: one row by its key, and one row changed, 32 tasks at once.

The same database without its replicas, with one of them and with two; all servers are on loopback, and
what is measured is the client's CPU time. With two replicas the reads are on twice as many
connections, and fewer replies come at once. A change asks where the log ends behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from benchmarks.measure import Comparison, cost_of_calls, interleaved, report
from benchmarks.sql.bench_postgres import COLUMNS, TASKS, fill
from services import postgres_cluster

from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres

CALLS = 3200
CHANGES = 800

Work = Callable[[SqlDatabase, int], Awaitable[object]]


async def read(db: SqlDatabase, key: int) -> object:
    return await db.fetch_one(COLUMNS + "?", (key,))


async def change(db: SqlDatabase, key: int) -> object:
    return await db.execute("UPDATE books SET stock = stock + 1 WHERE id = ?", (key,))


def measure(work: Work, calls: int, config: dict[str, Any], backend: str) -> float:
    """Microseconds of CPU for each call."""

    async def main() -> float:
        async with run_kernel({"postgres": Postgres}, {"postgres": config}) as kernel:
            db = kernel.require(SQL)
            return await cost_of_calls(
                lambda number: work(db, number % 1000), calls=calls, tasks=TASKS
            )

    return anyio.run(main, backend=backend)


def test_beside_the_primary_alone() -> None:
    with postgres_cluster.cluster(2) as cluster:
        fill(cluster.primary.url)
        for each in cluster.replicas:
            each.catch_up()
        replicas = cluster.config["replicas"]
        for name, work, calls, *goals in (
            ("read", read, CALLS, 1.1, 1.2),
            ("change", change, CHANGES, 1.5, 1.5),
        ):
            rivals = {
                f"{many}, {backend}": partial(
                    measure,
                    work,
                    calls,
                    {"url": cluster.primary.url, "replicas": replicas[:count]},
                    backend,
                )
                for backend in ("asyncio", "trio")
                for count, many in enumerate(("no replica", "one replica", "two replicas"))
            }
            report(
                f"one row to {name}, {TASKS} tasks, CPU of the client",
                interleaved(rivals, 9),
                [
                    Comparison(
                        f"{many}, {backend}", f"{many}, {backend}", f"no replica, {backend}", goal
                    )
                    for backend in ("asyncio", "trio")
                    for many, goal in zip(("one replica", "two replicas"), goals, strict=True)
                ],
                unit="us",
            )


if __name__ == "__main__":
    test_beside_the_primary_alone()
