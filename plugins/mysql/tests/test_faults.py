"""A server that dies, is restarted, is full, silent or cut off: an error, in time, and never a hang."""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
import pymysql
import pytest
from services import mariadb
from services.proxy import proxy

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlConflictError, SqlError, SqlUnavailableError
from covet_mysql import MysqlConfig
from covet_mysql._database import MysqlDatabase
from covet_mysql._plugin import opened

Opener = Callable[..., AbstractAsyncContextManager[MysqlDatabase]]
PATIENCE = 20
NUMBERS = (
    "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 200) SELECT n FROM s"
)


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.MariaDbServer]:
    """A server that may be stopped, with few connections."""
    with mariadb.own_server(("max-connections", "10")) as one:
        yield one


@asynccontextmanager
async def at(url: str, **config: Any) -> AsyncIterator[MysqlDatabase]:
    config = {"url": url, "cleanup_timeout": 1.0, "acquire_timeout": 5.0, **config}
    async with opened(MysqlConfig(**config), "the test") as database:
        yield database


async def until_it_answers(db: MysqlDatabase) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            with suppress(SqlUnavailableError):
                assert await db.execute("DO 1") == 0
                assert await db.fetch_value("SELECT 1") == 1
                return
            await anyio.sleep(0.05)


async def test_connections_that_were_ended_are_replaced_unseen(open_db: Opener, url: str) -> None:
    async with open_db() as db:
        for _ in range(3):
            assert await db.execute("INSERT INTO t (a) VALUES (NULL)") == 1
            while any(not link.lost for link in db._links):
                await anyio.to_thread.run_sync(mariadb.kill_all, url)
                await anyio.sleep(0.01)
            assert await db.fetch_value("SELECT 5") == 5
        assert await db.fetch_value("SELECT count(*) FROM t") == 3


async def test_a_connection_that_is_ended_in_the_middle_is_an_error(
    open_db: Opener, url: str
) -> None:
    async with open_db() as db:
        errors: list[SqlError] = []

        async def sleep() -> None:
            try:
                await db.execute("DO sleep(600)")
            except SqlUnavailableError as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(sleep)
            asleep = (
                "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'DO sleep%'"
            )
            while await db.fetch_value(asleep) < 3:
                await anyio.sleep(0.01)
            with anyio.fail_after(PATIENCE):
                await anyio.to_thread.run_sync(mariadb.kill_all, url)
        assert {error.sqlstate for error in errors} == {"08006"}
        assert db.pool.in_use == 0
        with pytest.raises(SqlUnavailableError):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                await anyio.to_thread.run_sync(mariadb.kill_all, url)
                await session.execute("INSERT INTO t (a) VALUES (2)")
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                await anyio.to_thread.run_sync(mariadb.kill_all, url)
                raise LookupError
        assert await db.fetch_all("SELECT a FROM t") == []


async def test_a_commit_whose_answer_is_lost_is_said_to_be_unknown(
    open_db: Opener, url: str
) -> None:
    async with open_db() as db:
        with pytest.raises(SqlUnavailableError) as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                await anyio.to_thread.run_sync(mariadb.kill_all, url)
        assert caught.value.sqlstate == "08007"


async def test_the_server_is_restarted(server: mariadb.MariaDbServer) -> None:
    async with at(server.url, pool_size=2) as db:
        assert await db.fetch_value("SELECT 1") == 1
        async with anyio.create_task_group() as tasks:

            async def sleep() -> None:
                with pytest.raises(SqlUnavailableError):
                    await db.execute("DO sleep(600)")

            tasks.start_soon(sleep)
            while not db.pool.in_use:
                await anyio.sleep(0.01)
            with anyio.fail_after(PATIENCE):
                await anyio.to_thread.run_sync(server.stop, signal.SIGKILL)
        for run in (db.fetch_all, db.execute):
            with anyio.fail_after(PATIENCE), pytest.raises(SqlUnavailableError):
                await run("SELECT 1")
        with pytest.raises(SqlUnavailableError):
            await db.check()
        server.start()  # here: it ends with the thread that starts it
        await until_it_answers(db)


async def test_the_server_has_no_connection_left(server: mariadb.MariaDbServer) -> None:
    connections = []
    async with at(server.url, pool_size=20) as db:
        try:
            with suppress(pymysql.MySQLError):
                while True:
                    connections.append(mariadb.connect(server.url))
            assert await db.fetch_value("SELECT 1") == 1

            errors: list[SqlError] = []

            async def one() -> None:
                try:
                    await db.execute("DO 1")
                except SqlUnavailableError as error:
                    errors.append(error)

            with anyio.fail_after(PATIENCE):
                # The one that there is has somebody.
                async with db.transaction(), anyio.create_task_group() as tasks:
                    for _ in range(2):
                        tasks.start_soon(one)
            assert [error.sqlstate for error in errors] == ["08004"] * 2
            assert "oo many connections" in str(errors[0])
            assert (db.pool.in_use, db.pool.opened) == (0, 1)
            # Who is cancelled then cannot have the statement ended, and gives the connection up.
            with anyio.move_on_after(0.1) as scope:
                await db.execute("DO sleep(600)")
            assert scope.cancelled_caught
            assert db.counts.discarded == 1
            with pytest.raises(ConfigurationError, match="oo many connections") as refused:
                async with at(server.url):
                    pass
            assert refused.value.code == "COVET-MYSQL-REFUSED"
        finally:
            for connection in connections:
                connection.close()
        await until_it_answers(db)


async def scenario(db: MysqlDatabase, number: int) -> None:
    assert await db.fetch_value("SELECT ? AS v", (number,)) == number
    async with db.transaction() as session:
        await session.execute("INSERT INTO t (a) VALUES (?)", (number,))
        got = await session.fetch_value("SELECT repeat(?, 2000) AS v", (str(number % 10),))
        assert got == str(number % 10) * 2000
    async with aclosing(db.stream(NUMBERS)) as rows:
        assert [row["n"] async for row in rows] == list(range(1, 201))


async def test_cut_at_any_byte_it_is_an_error_and_never_anothers_rows(url: str) -> None:
    chance = random.Random(11)
    port = urlsplit(url).port
    assert port is not None
    mariadb.run(url, "CREATE TABLE t (id INTEGER AUTO_INCREMENT PRIMARY KEY, a INTEGER)")
    committed = 0
    async with proxy(port) as between:
        through = url.replace(f":{port}/", f":{between.port}/")
        async with at(through, pool_size=2, connect_timeout=2.0) as db:
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
    port = urlsplit(url).port
    assert port is not None
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


async def transfer(db: MysqlDatabase, number: int, chance: random.Random) -> bool:
    """Move one coin, noting it; whether that is known to have happened."""
    one, other = chance.sample(range(5), 2)
    try:
        async with db.transaction() as session:
            await session.execute("UPDATE accounts SET coins = coins - 1 WHERE id = ?", (one,))
            await session.execute("UPDATE accounts SET coins = coins + 1 WHERE id = ?", (other,))
            await session.execute("INSERT INTO moves (id) VALUES (?)", (number,))
    except SqlError as error:
        # A conflict, a lost connection, or a statement that was killed.
        assert (
            isinstance(error, SqlConflictError | SqlUnavailableError) or error.sqlstate == "57014"
        )
        return False
    return True


@pytest.mark.once
async def test_coins_are_neither_made_nor_lost_and_nothing_that_was_said_to_happen_did_not(
    url: str,
) -> None:
    chance = random.Random(3)
    mariadb.run(
        url,
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, coins INTEGER NOT NULL)",
        "CREATE TABLE moves (id INTEGER PRIMARY KEY)",
        "INSERT INTO accounts SELECT seq, 100 FROM seq_0_to_4",
    )
    happened: set[int] = set()
    async with at(url, pool_size=6) as db:

        async def work(task: int) -> None:
            own = random.Random(task)
            for number in range(task, 320, 8):
                with anyio.CancelScope() as scope:
                    scopes[task] = scope
                    if await transfer(db, number, own):
                        happened.add(number)

        async def disturb() -> None:
            while True:
                await anyio.to_thread.run_sync(lambda: mariadb.kill_all(url, query=True))
                await anyio.sleep(0.005)
                chance.choice(scopes).cancel()
                if chance.random() < 0.3:
                    await anyio.to_thread.run_sync(mariadb.kill_all, url)

        scopes = [anyio.CancelScope() for _ in range(8)]
        with anyio.fail_after(3 * PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(disturb)
                async with anyio.create_task_group() as workers:
                    for task in range(8):
                        workers.start_soon(work, task)
                tasks.cancel_scope.cancel()
        assert db.pool.in_use == 0
        assert await db.fetch_value("SELECT sum(coins) FROM accounts") == 500
        noted = {row["id"] for row in await db.fetch_all("SELECT id FROM moves")}
        assert happened <= noted
        # And it went on under all that.
        assert happened
