"""Health, numbers, and stores by URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from covet_kernel import ConfigurationError, Context, Plugin, Serving
from covet_kernel.contracts import SQL, SqlError
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres, PostgresConfig

phases: list[Serving] = []


class Watcher(Plugin[None]):
    requires = (SQL, SQL.named("other"))

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.compile(phases.append)
        yield


async def test_each_instance_is_seen_under_its_name(url: str) -> None:
    tables = {
        "postgres": {"url": url},
        "postgres/other": {"url": url, "lane_size": 0},
        "watcher": {},
    }
    async with run_kernel({"postgres": Postgres, "watcher": Watcher}, tables) as kernel:
        serving = phases.pop()
        db = kernel.require(SQL)
        with pytest.raises(SqlError):
            await db.execute("SELEKT")
        await kernel.require(SQL.named("other")).fetch_all("SELECT 1")
        for check in serving.health_checks:
            await check.check()
        assert {check.name for check in serving.health_checks} == {
            "postgres.query",
            "postgres/other.query",
        }
        read = {
            (metric.name, *labels): value
            for metric in serving.metrics
            for labels, value in metric.read()
        }
        assert read["postgres.errors", "postgres"] == 1
        assert read["postgres.errors", "postgres/other"] == 0
        assert read["postgres.statements", "postgres/other"] == 2
        assert read["postgres.connections", "postgres", "pool", "idle"] == 1
        assert read["postgres.connections", "postgres", "lane", "idle"] == 1
        assert read["postgres.connections", "postgres/other", "lane", "idle"] == 0
        assert read["postgres.waiting", "postgres", "pool"] == 0
        assert read["postgres.discarded", "postgres"] == 0
    with pytest.raises(SqlError):
        await serving.health_checks[0].check()


async def test_stores_are_opened_by_url(url: str) -> None:
    first, second = Postgres(PostgresConfig()).covet_store_schemes()
    assert (first.scheme, second.scheme) == ("postgres", "postgresql")
    async with first.open(f"{url}?pool_size=1&lane_size=0&application_name=a%20b%26") as db:
        assert db.pool.size == 1
        assert await db.fetch_value("SELECT current_setting('application_name')") == "a b&"
    with pytest.raises(LookupError):
        async with second.open(url.replace("postgres://", "postgresql://")) as db:
            await db.execute("CREATE TABLE kept (a INTEGER)")
            raise LookupError
    async with first.open(url) as db:
        assert await db.fetch_all("SELECT a FROM kept") == []


@pytest.mark.parametrize(
    "url",
    ["sqlite:///x", "postgres://h/x?pool_size=none", "postgres://h/x?color=red", "postgres://h/%"],
)
async def test_wrong_urls_are_refused(url: str) -> None:
    scheme, _ = Postgres(PostgresConfig()).covet_store_schemes()
    with pytest.raises(ConfigurationError) as caught:
        async with scheme.open(url):
            pass
    assert caught.value.code == "COVET-POSTGRES-URL"
