"""Health, numbers, and stores by URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from covet_kernel import ConfigurationError, Context, Plugin, Serving
from covet_kernel.contracts import SQL, SqlError
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql, MysqlConfig

phases: list[Serving] = []


class Watcher(Plugin[None]):
    requires = (SQL, SQL.named("other"))

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.compile(phases.append)
        yield


async def test_each_instance_is_seen_under_its_name(url: str) -> None:
    tables = {"mysql": {"url": url}, "mysql/other": {"url": url}, "watcher": {}}
    async with run_kernel({"mysql": Mysql, "watcher": Watcher}, tables) as kernel:
        serving = phases.pop()
        db = kernel.require(SQL)
        with pytest.raises(SqlError):
            await db.execute("SELEKT")
        for check in serving.health_checks:
            await check.check()
        assert {check.name for check in serving.health_checks} == {
            "mysql.query",
            "mysql/other.query",
        }
        read = {
            (metric.name, *labels): value
            for metric in serving.metrics
            for labels, value in metric.read()
        }
        assert read["mysql.errors", "mysql"] == 1
        assert read["mysql.errors", "mysql/other"] == 0
        # Its settings, and the check's statement, prepared and run.
        assert read["mysql.statements", "mysql/other"] == 3
        assert read["mysql.connections", "mysql", "pool", "idle"] == 1
        assert read["mysql.connections", "mysql", "pool", "used"] == 0
        assert read["mysql.waiting", "mysql", "pool"] == 0
        assert read["mysql.discarded", "mysql"] == 0
        assert read["mysql.cancelled", "mysql"] == 0
    with pytest.raises(SqlError):
        await serving.health_checks[0].check()


async def test_stores_are_opened_by_url(url: str) -> None:
    first, second = Mysql(MysqlConfig()).covet_store_schemes()
    assert (first.scheme, second.scheme) == ("mysql", "mariadb")
    async with first.open(f"{url}?pool_size=1&statement_timeout=7") as db:
        assert db.pool.size == 1
        assert await db.fetch_value("SELECT @@max_statement_time AS s") == 7
    with pytest.raises(LookupError):
        async with second.open(url.replace("mysql://", "mariadb://")) as db:
            await db.execute("CREATE TABLE kept (a INTEGER)")
            raise LookupError
    async with first.open(url) as db:
        assert await db.fetch_all("SELECT a FROM kept") == []


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///x",
        "mysql://h/x?pool_size=none",
        "mysql://h/x?color=red",
        "mysql://h/%",
        "mysql://h/a?tls_ca=/x",
    ],
)
async def test_wrong_urls_are_refused(url: str) -> None:
    scheme, _ = Mysql(MysqlConfig()).covet_store_schemes()
    with pytest.raises(ConfigurationError) as caught:
        async with scheme.open(url):
            pass
    assert caught.value.code == "COVET-MYSQL-URL"
