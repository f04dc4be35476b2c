"""Health, numbers, and stores by URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from covet_kernel import ConfigurationError, Context, Plugin, Serving
from covet_kernel.contracts import SQL, SqlError
from covet_kernel.testing import run_kernel
from covet_sqlite import Sqlite, SqliteConfig

phases: list[Serving] = []


class Watcher(Plugin[None]):
    requires = (SQL, SQL.named("other"))

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.compile(phases.append)
        yield


async def test_each_instance_is_seen_under_its_name(tmp_path: Path) -> None:
    tables = {"sqlite": {}, "sqlite/other": {"path": ":memory:"}, "watcher": {}}
    async with run_kernel(
        {"sqlite": Sqlite, "watcher": Watcher}, tables, directory=tmp_path
    ) as kernel:
        serving = phases.pop()
        db = kernel.require(SQL)
        with pytest.raises(SqlError):
            await db.execute("SELEKT")
        await kernel.require(SQL.named("other")).fetch_all("SELECT 1")
        for check in serving.health_checks:
            await check.check()
        assert {check.name for check in serving.health_checks} == {
            "sqlite.read",
            "sqlite/other.read",
        }
        read = {
            (metric.name, *labels): value
            for metric in serving.metrics
            for labels, value in metric.read()
        }
        assert read["sqlite.errors", "sqlite"] == 1
        assert read["sqlite.errors", "sqlite/other"] == 0
        assert read["sqlite.statements", "sqlite/other"] == 2
        assert read["sqlite.connections", "sqlite", "writer", "idle"] == 1
        assert read["sqlite.connections", "sqlite", "reader", "idle"] == 1
        assert read["sqlite.connections", "sqlite/other", "writer", "used"] == 0
        assert read["sqlite.waiting", "sqlite", "writer"] == 0
    with pytest.raises(SqlError):
        await serving.health_checks[0].check()


async def test_stores_are_opened_by_url(tmp_path: Path) -> None:
    plugin = Sqlite(SqliteConfig())
    (scheme,) = plugin.covet_store_schemes()
    assert scheme.scheme == "sqlite"
    file = tmp_path / "a b.db"
    async with scheme.open(f"sqlite:///{tmp_path}/a%20b.db?synchronous=full&readers=1") as db:
        await db.execute("CREATE TABLE t (a)")
        assert await db.fetch_value("PRAGMA synchronous") == 2
        assert file.exists()
    async with scheme.open("sqlite:///:memory:") as db:
        assert await db.fetch_value("SELECT 1") == 1


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite://host/x.db",
        "postgres:///x",
        "sqlite:///x.db#y",
        "sqlite:///x.db?readers=none",
        "sqlite:///x.db?color=red",
        "sqlite:///x.db?path=y.db",
        "sqlite:///a%00b",
    ],
)
async def test_wrong_urls_are_refused(url: str) -> None:
    (scheme,) = Sqlite(SqliteConfig()).covet_store_schemes()
    with pytest.raises(ConfigurationError) as caught:
        async with scheme.open(url):
            pass
    assert caught.value.code == "COVET-SQLITE-URL"
