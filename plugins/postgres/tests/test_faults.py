"""A server that dies, is restarted, is full, silent or cut off: an error, in time, and never a hang."""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from typing import Any

import anyio
import psycopg
import pytest
from services import postgres
from services.proxy import proxy

from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_postgres import PostgresConfig
from covet_postgres._database import PostgresDatabase
from covet_postgres._plugin import opened

EVERY_VERSION = True
Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]
PATIENCE = 20


@pytest.fixture(scope="module")
def server(version: None) -> Iterator[postgres.PostgresServer]:
    """A server that may be stopped, with few connections."""
    with postgres.own_server(
        ("max_connections", "6"), ("superuser_reserved_connections", "1")
    ) as one:
        yield one


@asynccontextmanager
async def at(url: str, **config: Any) -> AsyncIterator[PostgresDatabase]:
    config = {"url": url, "cleanup_timeout": 1.0, "acquire_timeout": 5.0, **config}
    async with opened(PostgresConfig(**config), "the test") as database:
        yield database


async def until_it_answers(db: PostgresDatabase) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            with suppress(SqlUnavailableError):
                assert await db.execute("CREATE TEMP TABLE again (a INTEGER)") == 0
                assert await db.fetch_value("SELECT 1") == 1
                return
            await anyio.sleep(0.05)


def kill_all(url: str) -> None:
    """End every connection to the database but this one."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_connections_that_were_ended_are_replaced_unseen(open_db: Opener, url: str) -> None:
    async with open_db() as db:
        for _ in range(3):
            assert await db.execute("INSERT INTO t (a) VALUES (NULL)") == 1
            await anyio.to_thread.run_sync(kill_all, url)
            while any(not link.lost for link in db._links):
                # One that was being opened then is not among those that were ended.
                await anyio.to_thread.run_sync(kill_all, url)
                await anyio.sleep(0.01)
            assert await db.fetch_value("SELECT 5") == 5
        assert await db.execute("INSERT INTO t (a) VALUES (NULL)") == 1
        assert await db.fetch_value("SELECT count(*) FROM t") == 4


async def test_a_connection_that_is_ended_in_the_middle_is_an_error(
    open_db: Opener, url: str
) -> None:
    async with open_db() as db:
        errors: list[SqlError] = []

        async def sleep() -> None:
            try:
                await db.execute("SELECT pg_sleep(600)")
            except SqlUnavailableError as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(sleep)
            asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            while await db.fetch_value(asleep) < 3:
                await anyio.sleep(0.01)
            with anyio.fail_after(PATIENCE):
                await anyio.to_thread.run_sync(kill_all, url)
        assert {error.sqlstate for error in errors} == {"57P01"}
        assert db.pool.in_use == 0
        with pytest.raises(SqlUnavailableError):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                await anyio.to_thread.run_sync(kill_all, url)
                await session.execute("INSERT INTO t (a) VALUES (2)")
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                await anyio.to_thread.run_sync(kill_all, url)
                raise LookupError
        assert await db.fetch_all("SELECT a FROM t") == []


async def test_a_commit_whose_answer_is_lost_is_said_to_be_unknown(
    open_db: Opener, url: str
) -> None:
    async with open_db() as db:
        with pytest.raises(SqlUnavailableError) as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                await anyio.to_thread.run_sync(kill_all, url)
        assert caught.value.sqlstate in ("08007", "08003")


async def test_the_server_is_restarted(server: postgres.PostgresServer) -> None:
    async with at(server.url, pool_size=2) as db:
        assert await db.fetch_value("SELECT 1") == 1
        async with anyio.create_task_group() as tasks:

            async def sleep() -> None:
                with pytest.raises(SqlUnavailableError):
                    await db.execute("SELECT pg_sleep(600)")

            tasks.start_soon(sleep)
            while not db.pool.in_use:
                await anyio.sleep(0.01)
            with anyio.fail_after(PATIENCE):
                await anyio.to_thread.run_sync(server.stop, signal.SIGQUIT)
        for run in (db.fetch_all, db.execute):
            with anyio.fail_after(PATIENCE), pytest.raises(SqlUnavailableError):
                await run("SELECT 1")
        with pytest.raises(SqlUnavailableError):
            await db.check()
        server.start()  # here: it ends with the thread that starts it
        await until_it_answers(db)


async def test_the_server_has_no_connection_left(server: postgres.PostgresServer) -> None:
    connections = []
    async with at(server.url, lane_size=1, pool_size=10) as db:
        try:
            with suppress(psycopg.OperationalError):
                while True:
                    connections.append(psycopg.connect(server.url))
            # Reads still have theirs; who needs one of its own is told at once.
            assert await db.fetch_value("SELECT 1") == 1
            with anyio.fail_after(PATIENCE), pytest.raises(SqlUnavailableError, match="too many"):
                await db.execute("SELECT 1 FOR UPDATE")
            assert (db.pool.in_use, db.pool.opened) == (0, 0)
        finally:
            for connection in connections:
                connection.close()
        await until_it_answers(db)


async def scenario(db: PostgresDatabase, number: int) -> None:
    assert await db.fetch_value("SELECT CAST(? AS integer)", (number,)) == number
    async with db.transaction() as session:
        await session.execute("INSERT INTO t (a) VALUES (?)", (number,))
        got = await session.fetch_value("SELECT repeat(?, 2000)", (str(number % 10),))
        assert got == str(number % 10) * 2000
    async with aclosing(db.stream("SELECT generate_series(1, 200) AS n")) as rows:
        assert [row["n"] async for row in rows] == list(range(1, 201))


async def test_cut_at_any_byte_it_is_an_error_and_never_anothers_rows(url: str) -> None:
    chance = random.Random(11)
    port = int(url.rpartition("/")[0].rpartition(":")[2])
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE TABLE t (id SERIAL, a INTEGER)")
    committed = 0
    async with proxy(port) as between:
        through = url.replace(f":{port}/", f":{between.port}/")
        async with at(through, pool_size=2, lane_size=1, connect_timeout=2.0) as db:
            for number in range(40):
                between.cut_after = chance.choice((1, 5, 100, 500, 3000, 8000)) + chance.randrange(
                    200
                )
                with anyio.fail_after(PATIENCE):
                    try:
                        await scenario(db, number)
                        committed += 1
                    except SqlError as error:
                        assert isinstance(error, SqlUnavailableError), repr(error)
                assert db.pool.in_use == 0
            between.cut_after = None
            await until_it_answers(db)
            await scenario(db, 99)
            assert await db.fetch_value("SELECT count(*) FROM t") >= committed + 1


async def test_a_server_that_falls_silent_is_given_up(url: str) -> None:
    port = int(url.rpartition("/")[0].rpartition(":")[2])
    async with proxy(port) as between:
        through = url.replace(f":{port}/", f":{between.port}/")
        limits = {"statement_timeout": 0.3, "cleanup_timeout": 0.3, "connect_timeout": 0.5}
        async with at(through, pool_size=2, **limits) as db:
            await db.execute("CREATE TABLE u (a INTEGER)")
            between.silent = True
            for run in (db.execute, db.fetch_all):
                with anyio.fail_after(PATIENCE), pytest.raises(SqlUnavailableError):
                    await run("SELECT 1")
            # A caller's own deadline is met before that.
            with anyio.move_on_after(0.05) as scope:
                await db.fetch_all("SELECT 1")
            assert scope.cancelled_caught
            between.silent = False
            await between.cut()
            await until_it_answers(db)
