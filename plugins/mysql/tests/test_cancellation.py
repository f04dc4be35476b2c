"""Cancelled at every await of every call, nothing is left, and the next one gets its own (row 73)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from services import mariadb

from covet_kernel.contracts import SqlError
from covet_kernel.testing import cancel_at_every_await
from covet_mysql import _connection
from covet_mysql._database import MysqlDatabase

Opener = Callable[..., AbstractAsyncContextManager[MysqlDatabase]]
Call = Callable[[MysqlDatabase], Awaitable[object]]
NUMBERS = (
    "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 40) SELECT n FROM s"
)


async def read(db: MysqlDatabase) -> object:
    return await db.fetch_all(NUMBERS)


async def change(db: MysqlDatabase) -> object:
    return await db.execute("UPDATE t SET a = a + 0 WHERE a > ?", (0,))


async def change_many(db: MysqlDatabase) -> object:
    return await db.execute_many("UPDATE t SET a = ? WHERE a = ?", [(1, 1), (2, 2)])


async def stream(db: MysqlDatabase) -> object:
    async with aclosing(db.stream(NUMBERS)) as rows:
        return [row async for row in rows]


async def transact(db: MysqlDatabase) -> object:
    async with db.transaction(isolation="repeatable read") as session:
        await session.fetch_one("SELECT a FROM t WHERE a = ? FOR UPDATE", (1,))
        async with session.transaction():
            await session.execute("UPDATE t SET a = a WHERE a = :a", {"a": 1})
        async with aclosing(session.stream(NUMBERS)) as rows:
            await anext(rows)
        return await session.fetch_value("SELECT 5")


async def stain(db: MysqlDatabase) -> object:
    return await db.execute("SET @stain = 'stained'")


@pytest.mark.parametrize("grace", [_connection.GRACE, 0.0], ids=["left to end", "killed at once"])
@pytest.mark.parametrize("call", [read, change, change_many, stream, transact, stain])
# bad input 73
async def test_cancelled_anywhere_the_next_one_gets_its_own(
    open_db: Opener, call: Call, grace: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connection, "GRACE", grace)
    async with open_db(pool_size=1) as db:
        await db.execute_many("INSERT INTO t (a) VALUES (?)", [(1,), (2,)])
        number = 0

        async def run() -> None:
            # A new text each time, so that it is also cancelled while it is being prepared.
            db._statements.clear()
            for link in db._links:
                link.forget_all()
            await call(db)

        async def check() -> None:
            nonlocal number
            number += 1
            with anyio.fail_after(10):
                assert await db.fetch_value("SELECT ? AS own", (number,)) == number
                assert await db.fetch_value("SELECT a FROM t WHERE a = 1 FOR UPDATE") == 1
                async with db.transaction() as session:
                    assert await session.fetch_value("SELECT a FROM t WHERE a = 2 FOR UPDATE") == 2
                    assert await session.fetch_value("SELECT @stain AS s") is None
                    assert await session.fetch_value("SELECT @@autocommit AS a") == 1
            assert db.pool.in_use == 0

        assert await cancel_at_every_await(run, check=check) >= 2
        assert db.counts.discarded == 0


async def test_a_cancelled_statement_ends_on_the_server_too(open_db: Opener, url: str) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        for call in (
            lambda: db.fetch_all("SELECT sleep(600) AS s"),
            lambda: db.execute("UPDATE t SET a = sleep(600)"),
        ):
            with anyio.move_on_after(0.1) as scope:
                await call()
            assert scope.cancelled_caught
        assert db.counts.cancelled == 2
        assert db.counts.discarded == 0
        (connection,) = db.pool.idle
        assert connection.usable
        asleep = (
            "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%%sleep(600)%%'"
        )
        assert mariadb.run(url, asleep + " AND id <> CONNECTION_ID()") == [(0,)]
        # The request has met its statement, not the next one of the connection.
        for _ in range(20):
            assert await db.execute("UPDATE t SET a = a") == 1


async def test_a_request_to_end_that_comes_late_ends_nothing_of_the_next_one(
    open_db: Opener, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = _connection.kill

    async def late(door: Any, thread: int) -> None:
        # By now the statement has ended by itself.
        (connection,) = db.pool._leases
        await connection.link.quiet()
        await killed(door, thread)

    monkeypatch.setattr(_connection, "GRACE", 0.0)
    monkeypatch.setattr(_connection, "kill", late)
    async with open_db(pool_size=1) as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        for _ in range(5):
            with anyio.move_on_after(0.05) as scope:
                await db.fetch_all("SELECT sleep(0.2) AS s")
            assert scope.cancelled_caught
            assert await db.fetch_value("SELECT sleep(0.01) + 5 AS s") == 5
            assert await db.execute("UPDATE t SET a = a + sleep(0.01)") == 1
        assert db.counts.cancelled == 5
        assert (db.counts.errors, db.counts.discarded) == (0, 0)


async def test_the_server_is_told_the_callers_deadline(open_db: Opener) -> None:
    async with open_db(pool_size=1) as db:
        limit = "SELECT @@max_statement_time AS seconds"
        assert await db.fetch_value(limit) == 30
        with anyio.fail_after(5):
            assert 5 < await db.fetch_value(limit) < 10
            async with db.transaction() as session:
                assert 5 < await session.fetch_value(limit) < 10
                async with aclosing(session.stream(limit)) as rows:
                    assert 5 < (await anext(rows))["seconds"] < 10
        with anyio.fail_after(100):
            assert await db.fetch_value(limit) == 30
        assert await db.fetch_value(limit) == 30


async def test_a_statement_that_runs_too_long_is_ended_by_the_server(open_db: Opener) -> None:
    async with open_db(statement_timeout=0.2) as db:
        for run in (db.fetch_all, db.execute):
            with pytest.raises(SqlError) as caught:
                await run("SELECT sleep(600) AS s")
            assert caught.value.sqlstate == "57014"
        assert db.counts.discarded == 0
        assert await db.fetch_value("SELECT 5") == 5


@pytest.mark.once
async def test_a_thousand_calls_cancelled_at_random_leave_everything_idle(open_db: Opener) -> None:
    chance = Random(5)
    async with open_db(pool_size=4) as db:
        await db.execute_many("INSERT INTO t (a) VALUES (?)", [(n,) for n in range(10)])
        wrong: list[Any] = []

        async def call(number: int, scope: anyio.CancelScope) -> None:
            with scope:
                kind = number % 4
                if kind == 0:
                    async with db.transaction() as session:
                        got = await session.fetch_value("SELECT ? AS v", (number,))
                elif kind == 1:
                    rows = [row["v"] async for row in db.stream("SELECT ? AS v", (number,))]
                    (got,) = rows
                else:
                    got = await db.fetch_value("SELECT ? AS v FROM t LIMIT 1", (number,))
                if got != number:
                    wrong.append((got, number))

        for _ in range(20):
            scopes = [anyio.CancelScope() for _ in range(50)]
            async with anyio.create_task_group() as tasks:
                for number, scope in enumerate(scopes):
                    tasks.start_soon(call, number, scope)
                    if chance.random() < 0.5:
                        await anyio.lowlevel.checkpoint()
                    if chance.random() < 0.4:
                        chance.choice(scopes).cancel()
        assert wrong == []
        assert (db.pool.in_use, db.pool.waiting) == (0, 0)
        assert db.pool.opened == len(db.pool.idle)
        assert db.counts.discarded == 0
