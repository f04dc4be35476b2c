"""What is scraped: the driver's connections and counts, the profile, the kept results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from covet_kernel import Context, Plugin, Serving
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_sql.cache import cached
from covet_sqlite import Sqlite

phases: list[Serving] = []


class Watcher(Plugin[None]):
    requires = (SQL,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.compile(phases.append)
        yield


async def test_numbers_of_all_shapes_together(tmp_path: Path) -> None:
    plugins: dict[str, Any] = {"sqlite": Sqlite, "watcher": Watcher}
    async with run_kernel(plugins, directory=tmp_path) as kernel:
        db, serving = kernel.require(SQL), phases.pop()

        def read() -> dict[tuple[str, ...], float]:
            return {
                (metric.name, *labels): value
                for metric in serving.metrics
                for labels, value in metric.read()
            }

        assert read()["sql.cache.hits", "sqlite"] == 0
        assert read()["sql.cache.size", "sqlite"] == 0
        await db.execute("CREATE TABLE books (id INTEGER PRIMARY KEY)")
        await db.execute_many("INSERT INTO books VALUES (?)", [(n,) for n in range(5)])
        for _ in range(3):
            await cached(db, seconds=60).fetch_all("SELECT id FROM books")
        numbers = read()
    assert numbers["sql.rows", "sqlite"] == 10
    assert numbers["sql.shapes", "sqlite"] == 3
    assert numbers["sql.seconds", "sqlite"] > 0
    assert numbers["sql.duration", "sqlite", "+Inf"] == 3
    assert numbers["sql.cache.hits", "sqlite"] == 2
    assert numbers["sql.cache.misses", "sqlite"] == 1
    assert numbers["sql.cache.entries", "sqlite"] == 1
    assert numbers["sql.cache.size", "sqlite"] > 0
    histogram = [metric for metric in serving.metrics if metric.name == "sql.duration"]
    assert [metric.kind for metric in histogram] == ["histogram"]
