"""Units of work against a real server: conflicts are done again, an unknown commit never is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import psycopg
import pytest
from services.proxy import proxy

from covet_kernel.contracts import SqlSession, SqlUnavailableError
from covet_postgres import PostgresConfig
from covet_postgres._database import PostgresDatabase
from covet_postgres._plugin import opened
from covet_sql import run_transaction

Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]
PATIENCE = 60
"""Seconds after which something is taken to hang."""


async def test_serialization_failures_are_done_again_and_no_update_is_lost(
    open_db: Opener,
) -> None:
    async with open_db(pool_size=6) as db:
        await db.execute("INSERT INTO t (id, a) VALUES (1, 0)")
        runs = 0

        async def add(session: SqlSession) -> None:
            nonlocal runs
            runs += 1
            before = await session.fetch_value("SELECT a FROM t WHERE id = 1")
            await session.execute("UPDATE t SET a = ? WHERE id = 1", (before + 1,))

        async def some() -> None:
            for _ in range(5):
                await run_transaction(db, add, isolation="repeatable read", attempts=1000)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(some)
        assert await db.fetch_value("SELECT a FROM t WHERE id = 1") == 30
        assert runs >= 30
        assert db.counts.discarded == 0


async def test_a_deadlock_is_done_again(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute_many("INSERT INTO t (id, a) VALUES (?, ?)", [(1, 10), (2, 20)])
        both = anyio.Event()
        locked: set[int] = set()
        runs = 0

        async def touch(session: SqlSession, one: int, other: int) -> None:
            nonlocal runs
            runs += 1
            await session.execute("SET LOCAL deadlock_timeout = '20ms'")
            await session.execute("UPDATE t SET a = a + 100 WHERE id = ?", (one,))
            locked.add(one)
            if len(locked) == 2:
                both.set()
            await both.wait()
            await session.execute("UPDATE t SET a = a + 1000 WHERE id = ?", (other,))

        async def forth(session: SqlSession) -> None:
            await touch(session, 1, 2)

        async def back(session: SqlSession) -> None:
            await touch(session, 2, 1)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_transaction, db, forth)
                tasks.start_soon(run_transaction, db, back)
        assert runs >= 3
        assert await db.fetch_all("SELECT a FROM t ORDER BY id") == [{"a": 1110}, {"a": 1120}]


async def test_a_commit_that_is_not_answered_is_never_done_again(url: str) -> None:
    port = int(url.rpartition("/")[0].rpartition(":")[2])
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE TABLE t (a INTEGER)")
    async with proxy(port) as between:
        through = url.replace(f":{port}/", f":{between.port}/")
        config = PostgresConfig(url=through, cleanup_timeout=0.3, lane_size=0)
        async with opened(config, "the test") as db:
            runs = 0

            async def work(session: SqlSession) -> None:
                nonlocal runs
                runs += 1
                await session.execute("INSERT INTO t VALUES (1)")
                between.deaf = True

            with anyio.fail_after(PATIENCE), pytest.raises(SqlUnavailableError) as caught:
                await run_transaction(db, work)
            assert caught.value.sqlstate == "08007"
            assert "not known" in str(caught.value)
            assert runs == 1
            # It was committed: doing it again would have done it twice.
            between.deaf = False
            assert await db.fetch_value("SELECT count(*) FROM t") == 1


async def test_lost_before_the_commit_nothing_was_stored_and_it_is_said(
    open_db: Opener, url: str
) -> None:
    async with open_db() as db:

        async def work(session: SqlSession) -> None:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            pid = await session.fetch_value("SELECT pg_backend_pid()")
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
            (connection,) = db.pool._leases
            while not connection.link.lost:
                await anyio.sleep(0.01)

        with anyio.fail_after(PATIENCE), pytest.raises(SqlUnavailableError) as caught:
            await run_transaction(db, work)
        assert caught.value.sqlstate == "08003"
        assert "nothing of it was stored" in str(caught.value)
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
