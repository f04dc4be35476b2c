"""What it costs to go to the shard of a key, and to a tenant's schema, beside going to the database.

On PostgreSQL: one row by its key, one row changed, and a transaction of five changes, 8 tasks at once;
the CPU time of the client. A read through a key is the read, and the way to its shard. A change is a
transaction that begins with a question to the shard, and for a tenant everything is one that begins by
entering the schema. Deadlines are off, and each shard has as many connections as there are tasks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from benchmarks.measure import Comparison, cost_of_calls, interleaved, report
from services import postgres

from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_operations import Operations
from covet_postgres import Postgres
from covet_sharding import SHARDS, Sharding
from covet_tenants import TENANTS, TenantsPlugin

TASKS = 8
CALLS = 1600
TABLE = "CREATE TABLE items (id BIGINT PRIMARY KEY, name TEXT NOT NULL, copies INTEGER NOT NULL)"
FILL = "INSERT INTO items SELECT n, 'item ' || n, 1 FROM generate_series(0, 999) AS n"
READ = "SELECT id, name, copies FROM items WHERE id = ?"
CHANGE = "UPDATE items SET copies = copies + 1 WHERE id = ?"

Work = Callable[[SqlDatabase, int], Awaitable[object]]


async def read(db: SqlDatabase, key: int) -> object:
    return await db.fetch_one(READ, (key,))


async def change(db: SqlDatabase, key: int) -> object:
    return await db.execute(CHANGE, (key,))


async def five_changes(db: SqlDatabase, key: int) -> None:
    async with db.transaction() as session:
        for _ in range(5):
            await session.execute(CHANGE, (key,))


def measure(work: Work, way: str, url: str, backend: str) -> float:
    """Microseconds of CPU for each call."""

    async def main() -> float:
        tables: dict[str, Any] = {
            "postgres/a": {"url": url, "pool_size": TASKS},
            "sharding": {"shards": ["a"], "home": "a"},
            "tenants": {"database": "a", "tenants": ["one"], "schema": "tenant_{tenant}"},
        }
        classes = {
            "postgres": Postgres,
            "sharding": Sharding,
            "tenants": TenantsPlugin,
            "operations": Operations,
        }
        async with run_kernel(classes, tables) as kernel:
            shards, tenants = kernel.require(SHARDS), kernel.require(TENANTS)
            ways: dict[str, Callable[[int], SqlDatabase]] = {
                "database": lambda key: shards.shard("a"),
                "shard": shards.of,
                "tenant": lambda key: tenants.of("one"),
            }
            choose = ways[way]
            # Rows of different tasks: nobody waits for another's lock.
            return await cost_of_calls(
                lambda number: work(choose(number % 1000), number % 1000),
                calls=CALLS,
                tasks=TASKS,
            )

    return anyio.run(main, backend=backend)


async def fill(url: str) -> None:
    """Make the rows, the database's own and the tenant's."""
    async with run_kernel({"postgres": Postgres}, {"postgres/a": {"url": url}}) as kernel:
        db = kernel.require(SQL.named("a"))
        await db.execute("CREATE SCHEMA tenant_one")
        for text in (TABLE, FILL):
            await db.execute(text)
            await db.execute(text.replace("items", "tenant_one.items", 1))


def test_beside_the_database() -> None:
    with postgres.fresh_database() as url:
        anyio.run(fill, url)
        for title, work, shard, tenant in (
            ("one row by its key", read, 1.3, 6.0),
            ("one row changed", change, 4.0, 4.0),
            ("five rows changed in a transaction", five_changes, 1.5, 1.5),
        ):
            rivals = {
                f"{way}, {backend}": partial(measure, work, way, url, backend)
                for backend in ("asyncio", "trio")
                for way in ("database", "shard", "tenant")
            }
            report(
                f"{title}, {TASKS} tasks, CPU of the client",
                interleaved(rivals, 5),
                [
                    Comparison(
                        f"{way}, {backend}", f"{way}, {backend}", f"database, {backend}", goal
                    )
                    for backend in ("asyncio", "trio")
                    for way, goal in (("shard", shard), ("tenant", tenant))
                ],
                unit="us",
            )


if __name__ == "__main__":
    test_beside_the_database()
