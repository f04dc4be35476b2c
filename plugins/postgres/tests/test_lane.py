"""Short reads share connections, and nobody's read is another's trouble."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from covet_kernel.contracts import SqlError
from covet_postgres._database import PostgresDatabase
from covet_postgres._statement import PostgresStatement

Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]

SLOW = (
    "CREATE FUNCTION slow(double precision) RETURNS integer LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM pg_sleep($1); RETURN 7; END $$"
)
WRITES = (
    "CREATE FUNCTION add(n integer) RETURNS integer LANGUAGE sql AS"
    " $$ INSERT INTO t (a) VALUES (n) RETURNING a $$"
)


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("SELECT 1", True),
        ("  (select a from t)", True),
        ("-- update\nSELECT 'for update' AS \"insert\"", True),
        ("VALUES (1)", True),
        ("TABLE t", True),
        ("WITH x AS (SELECT 1) SELECT * FROM x", True),
        ("SELECT updated, deleted_at FROM t", True),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", False),
        ("SELECT a FROM t FOR UPDATE", False),
        ("SELECT a FROM t FOR NO KEY UPDATE SKIP LOCKED", False),
        ("SELECT a FROM t FOR KEY SHARE", False),
        ("SELECT a INTO u FROM t", False),
        ("SELECT pg_sleep(1)", False),
        ("SELECT nextval('s')", False),
        ("SELECT pg_advisory_lock(1)", False),
        ("SELECT set_config('a.b', 'c', false)", False),
        ("INSERT INTO t VALUES (1)", False),
        ("EXPLAIN SELECT 1", False),
        ("", False),
    ],
)
def test_what_is_a_short_read(text: str, shared: bool) -> None:
    assert PostgresStatement(text).shared is shared


async def pids(db: PostgresDatabase, many: int) -> set[Any]:
    """The servers that many reads at once ran on."""
    seen: set[Any] = set()

    async def read(number: int) -> None:
        row = await db.fetch_one("SELECT pg_backend_pid() AS pid, ? AS n", (str(number),))
        assert row is not None
        assert row["n"] == str(number)
        seen.add(row["pid"])

    async with anyio.create_task_group() as tasks:
        for number in range(many):
            tasks.start_soon(read, number)
    return seen


async def test_many_reads_at_once_take_few_connections(open_db: Opener) -> None:
    async with open_db(lane_size=2, pool_size=1) as db:
        await pids(db, 200)
        while len(db.lane.links) < 2:
            await anyio.sleep(0.01)
        assert db.pool.opened <= 1  # for creating the table


async def test_reads_beyond_the_depth_wait_their_turn(open_db: Opener) -> None:
    async with open_db(lane_size=1, lane_depth=3) as db:
        link = db.lane.links[0]
        deepest = 0
        sync = link._sync

        def counting(reply: Any) -> Any:
            nonlocal deepest
            sent = sync(reply)
            deepest = max(deepest, link.depth)
            return sent

        link._sync = counting  # type: ignore[method-assign]
        scopes = [anyio.CancelScope() for _ in range(60)]
        done = 0

        async def read(number: int) -> None:
            nonlocal done
            with scopes[number]:
                assert await db.fetch_value(
                    "SELECT a FROM (SELECT ? AS a) x", (str(number),)
                ) == str(number)
                done += 1

        async with anyio.create_task_group() as tasks:
            for number in range(60):
                tasks.start_soon(read, number)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            for scope in scopes[::5]:
                scope.cancel()
        assert done >= 48
        # A statement is described before it runs for the first time.
        assert deepest <= 3 + 1
        assert not db.lane.waiting
        del link._sync


async def test_a_hundred_cancelled_sleeps_harm_no_neighbour(open_db: Opener) -> None:
    async with open_db(acquire_timeout=60) as db:
        answered = 0

        async def sleep() -> None:
            await db.fetch_value("SELECT pg_sleep(600)")

        async def neighbour() -> None:
            nonlocal answered
            for number in range(20):
                value = await db.fetch_value("SELECT CAST(? AS integer)", (number,))
                assert value == number
                answered += 1

        async with anyio.create_task_group() as sleepers:
            for _ in range(100):
                sleepers.start_soon(sleep)
            while db.pool.in_use < db.pool.size:
                await anyio.sleep(0.01)
            async with anyio.create_task_group() as neighbours:
                for _ in range(10):
                    neighbours.start_soon(neighbour)
            assert answered == 200
            sleepers.cancel_scope.cancel()
        assert db.counts.discarded == 0
        assert db.pool.in_use == 0
        running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE ?"
        assert await db.fetch_value(running, ("%pg_sleep(600)%",)) == 0


async def test_a_read_that_turns_out_long_is_run_on_a_connection_of_its_own(
    open_db: Opener,
) -> None:
    async with open_db(lane_patience=0.1) as db:
        await db.execute(SLOW)
        before = db.counts.repeated
        assert await db.fetch_value("SELECT slow(0.4)") == 7
        assert db.counts.repeated == before + 1
        # Known by now.
        assert await db.fetch_value("SELECT slow(0.4)") == 7
        assert db.counts.repeated == before + 1
        assert db.counts.discarded == 0


async def test_cancelled_reads_that_turn_out_long_make_room_by_themselves(open_db: Opener) -> None:
    async with open_db(lane_size=1) as db:
        await db.execute(SLOW)

        async def give_up(seconds: float) -> None:
            with anyio.move_on_after(seconds):
                await db.fetch_value("SELECT slow(60)")

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(give_up, 0.15)
        with anyio.fail_after(20):
            for number in range(50):
                assert await db.fetch_value("SELECT CAST(? AS integer)", (number,)) == number
        assert db.pool.in_use == 0


async def test_a_read_that_turns_out_to_change_something_happens_once(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute(WRITES)
        assert await db.fetch_value("SELECT add(?)", (5,)) == 5
        assert await db.fetch_value("SELECT add(?)", (6,)) == 6
        assert await db.fetch_all("SELECT a FROM t ORDER BY a") == [{"a": 5}, {"a": 6}]
        assert db.counts.repeated == 1


async def test_a_read_that_waits_for_a_lock_makes_nobody_wait(open_db: Opener) -> None:
    async with open_db(lane_size=1, lane_patience=0.1) as db:
        async with db.transaction() as session:
            await session.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            got: list[Any] = []

            async def read() -> None:
                got.append(await db.fetch_value("SELECT count(*) FROM t"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                while db.counts.repeated == 0:
                    await anyio.sleep(0.01)
                # Also for the one who has the lock, over the connection that was waited on.
                assert await db.fetch_value("SELECT 1") == 1
                assert got == []
                await session.execute("INSERT INTO t (a) VALUES (1)")
                tasks.cancel_scope.cancel()


async def test_an_error_is_its_own_statements(open_db: Opener) -> None:
    async with open_db(lane_size=1) as db:
        outcomes: list[object] = []

        async def read(number: int) -> None:
            try:
                outcomes.append(await db.fetch_value("SELECT 12 / CAST(? AS integer)", (number,)))
            except SqlError as error:
                outcomes.append(error.sqlstate)

        async with anyio.create_task_group() as tasks:
            for number in (1, 0, 2, 0, 3):
                tasks.start_soon(read, number)
        assert sorted(map(str, outcomes)) == ["12", "22012", "22012", "4", "6"]
        assert db.counts.discarded == 0


async def test_replies_that_nobody_waits_for_are_dropped(open_db: Opener) -> None:
    async with open_db(lane_size=1) as db:
        for turns in range(40):
            results: list[Any] = []
            scopes = [anyio.CancelScope() for _ in range(10)]

            async def read(key: int, scope: anyio.CancelScope, results: list[Any]) -> None:
                with scope:
                    value = await db.fetch_value(
                        "SELECT repeat('x', 1000) || CAST(? AS text)", (str(key),)
                    )
                    results.append((key, value.lstrip("x")))

            async with anyio.create_task_group() as tasks:
                for key in range(10):
                    tasks.start_soon(read, key, scopes[key], results)
                for _ in range(turns % 8):
                    await anyio.lowlevel.checkpoint()
                for scope in scopes[1::2]:
                    scope.cancel()
            assert all(str(key) == value for key, value in results)
            assert {key for key, _ in results} >= {0, 2, 4, 6, 8}
        assert db.counts.discarded == 0
        assert len(db.lane.links) == 1
