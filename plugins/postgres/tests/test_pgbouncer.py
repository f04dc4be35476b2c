"""Behind a real PgBouncer that hands out its connections per transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

import anyio
import psycopg
import pytest
from services import pgbouncer, postgres

from covet_conformance import SqlDatabaseSuite
from covet_kernel.contracts import SQL, SqlDatabase, SqlSession
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres, PostgresConfig, copy_in, copy_out, copy_rows
from covet_postgres._plugin import opened
from covet_sql import run_transaction


@pytest.fixture
def pooled() -> Iterator[str]:
    """The URL of a database through a pooler with two connections to its server."""
    with postgres.database() as url, pgbouncer.pooler(url) as through:
        yield through


@pytest.mark.once
class TestThroughPgBouncer(SqlDatabaseSuite):
    """Many more clients than the pooler has connections."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqlDatabase]:
        with pgbouncer.database() as url:
            config = {"postgres": {"url": url, "pgbouncer": True}}
            async with run_kernel({"postgres": Postgres}, config) as kernel:
                yield kernel.require(SQL)


async def test_two_connections_serve_many_sessions(pooled: str) -> None:
    with psycopg.connect(pooled, autocommit=True) as admin:
        admin.execute("CREATE TABLE IF NOT EXISTS counted (id INTEGER, n INTEGER)")
        admin.execute("DELETE FROM counted")
        admin.execute("INSERT INTO counted SELECT n, 0 FROM generate_series(0, 9) n")
    config = PostgresConfig(url=pooled, pgbouncer=True, pool_size=20)
    async with opened(config, "the test") as db:

        async def add(number: int) -> None:
            async def work(session: SqlSession) -> None:
                got = await session.fetch_value("SELECT CAST(? AS integer)", (number,))
                assert got == number
                await session.execute("UPDATE counted SET n = n + 1 WHERE id = ?", (number % 10,))

            for _ in range(5):
                await run_transaction(db, work)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(40):
                    tasks.start_soon(add, number)
        assert await db.fetch_value("SELECT sum(n) FROM counted") == 200
        servers = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        assert await db.fetch_value(servers) <= 2


async def test_copy_passes_through(pooled: str) -> None:
    async with opened(PostgresConfig(url=pooled, pgbouncer=True), "the test") as db:
        await db.execute("CREATE TABLE IF NOT EXISTS copied (id INTEGER, b TEXT)")
        await db.execute("DELETE FROM copied")
        assert await copy_rows(db, "copied", ["id", "b"], [(1, "x\ty"), (2, None)]) == 2
        assert await copy_in(db, "COPY copied FROM STDIN", b"3\tz\n") == 1
        query = "COPY (SELECT id FROM copied ORDER BY id) TO STDOUT"
        async with aclosing(copy_out(db, query)) as pieces:
            assert b"".join([piece async for piece in pieces]) == b"1\n2\n3\n"
        with anyio.move_on_after(0.1) as scope:
            await db.execute("SELECT pg_sleep(600)")
        assert scope.cancelled_caught
        assert await db.fetch_value("SELECT count(*) FROM copied") == 3
