"""Cancelled at every await of every call, nothing is left, and the next one gets its own (row 73)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from covet_kernel.contracts import SqlError
from covet_kernel.testing import cancel_at_every_await
from covet_postgres._database import PostgresDatabase

Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]
Call = Callable[[PostgresDatabase], Awaitable[object]]


async def read(db: PostgresDatabase) -> object:
    return await db.fetch_all("SELECT generate_series(1, 50) AS n")


async def change(db: PostgresDatabase) -> object:
    return await db.execute("UPDATE t SET a = a + 0 WHERE a > ?", (0,))


async def change_many(db: PostgresDatabase) -> object:
    return await db.execute_many("UPDATE t SET a = ? WHERE a = ?", [(1, 1), (2, 2)])


async def stream(db: PostgresDatabase) -> object:
    async with aclosing(db.stream("SELECT generate_series(1, 40) AS n")) as rows:
        return [row async for row in rows]


async def transact(db: PostgresDatabase) -> object:
    async with db.transaction(isolation="repeatable read") as session:
        await session.fetch_one("SELECT a FROM t WHERE a = ? FOR UPDATE", (1,))
        async with session.transaction():
            await session.execute("UPDATE t SET a = a WHERE a = :a", {"a": 1})
        async with aclosing(session.stream("SELECT generate_series(1, 40) AS n")) as rows:
            await anext(rows)
        return await session.fetch_value("SELECT 5")


async def stain(db: PostgresDatabase) -> object:
    return await db.execute("SET application_name = 'stained'")


@pytest.mark.parametrize("call", [read, change, change_many, stream, transact, stain])
# bad input 73
async def test_cancelled_anywhere_the_next_one_gets_its_own(open_db: Opener, call: Call) -> None:
    async with open_db(pool_size=1, lane_size=1) as db:
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
                assert await db.fetch_value("SELECT CAST(? AS integer) AS own", (number,)) == number
                assert await db.fetch_value("SELECT a FROM t WHERE a = 1 FOR UPDATE") == 1
                async with db.transaction() as session:
                    assert await session.fetch_value("SELECT a FROM t WHERE a = 2 FOR UPDATE") == 2
                    name = await session.fetch_value("SELECT current_setting('application_name')")
                    assert name == "covet"
            assert db.pool.in_use == 0

        assert await cancel_at_every_await(run, check=check) >= 2
        assert db.counts.discarded == 0
        busy = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
        assert await db.fetch_value(busy) == 0


async def test_a_cancelled_statement_ends_on_the_server_too(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        for call in (
            lambda: db.fetch_all("SELECT pg_sleep(600)"),
            lambda: db.execute("UPDATE t SET a = 2 FROM pg_sleep(600)"),
        ):
            with anyio.move_on_after(0.1) as scope:
                await call()
            assert scope.cancelled_caught
        assert db.counts.cancelled == 2
        assert db.counts.discarded == 0
        (connection,) = db.pool.idle
        assert connection.usable
        # The request has met its statement, not the next one of the connection.
        for _ in range(20):
            assert await db.execute("UPDATE t SET a = a") == 1


async def test_the_server_is_told_the_callers_deadline(open_db: Opener) -> None:
    async with open_db() as db:
        limit = "SELECT current_setting('statement_timeout') FROM pg_sleep(0)"
        assert await db.fetch_value(limit) == "30s"
        with anyio.fail_after(20):
            assert "ms" in await db.fetch_value(limit)
            async with db.transaction() as session:
                assert "ms" in await session.fetch_value(limit)
        with anyio.fail_after(100):
            assert await db.fetch_value(limit) == "30s"
        assert await db.fetch_value(limit) == "30s"


async def test_a_statement_that_runs_too_long_is_ended_by_the_server(open_db: Opener) -> None:
    async with open_db(statement_timeout=0.2) as db:
        for run in (db.fetch_all, db.execute):
            with pytest.raises(SqlError) as caught:
                await run("SELECT pg_sleep(600)")
            assert caught.value.sqlstate == "57014"
        assert db.counts.discarded == 0


async def test_a_thousand_calls_cancelled_at_random_leave_everything_idle(open_db: Opener) -> None:
    import random

    chance = random.Random(5)
    async with open_db(pool_size=4) as db:
        await db.execute_many("INSERT INTO t (a) VALUES (?)", [(n,) for n in range(10)])
        wrong: list[Any] = []

        async def call(number: int, scope: anyio.CancelScope) -> None:
            with scope:
                kind = number % 4
                if kind == 0:
                    async with db.transaction() as session:
                        got = await session.fetch_value("SELECT CAST(? AS integer)", (number,))
                elif kind == 1:
                    got = await db.fetch_value("SELECT CAST(? AS integer) FOR UPDATE", (number,))
                else:
                    got = await db.fetch_value("SELECT CAST(? AS integer)", (number,))
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
        assert (db.pool.in_use, db.pool.waiting, len(db.lane.waiting)) == (0, 0, 0)
        assert db.pool.opened == len(db.pool.idle)
        assert db.counts.discarded == 0
