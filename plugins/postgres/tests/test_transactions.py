"""Transactions, savepoints, and what a statement may not leave behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from covet_kernel.contracts import (
    Isolation,
    SqlConflictError,
    SqlError,
    SqlIntegrityError,
    SqlUnavailableError,
)
from covet_postgres._database import PostgresDatabase

Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]
LEVELS: tuple[Isolation, ...] = ("read committed", "repeatable read", "serializable")


@pytest.mark.parametrize("level", LEVELS)
async def test_isolation_and_read_only(open_db: Opener, level: Isolation) -> None:
    async with open_db() as db:
        async with db.transaction(isolation=level, read_only=True) as session:
            assert await session.fetch_value("SHOW transaction_isolation") == level
            assert await session.fetch_value("SHOW transaction_read_only") == "on"
            with pytest.raises(SqlError) as caught:
                async with session.transaction():
                    await session.execute("INSERT INTO t (a) VALUES (1)")
            assert caught.value.sqlstate == "25006"


async def test_serialization_failures_are_conflicts(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        with pytest.raises(SqlConflictError):
            async with db.transaction(isolation="repeatable read") as session:
                await session.fetch_value("SELECT a FROM t")
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(db.execute, "UPDATE t SET a = 2")
                await session.execute("UPDATE t SET a = 3")
        assert await db.fetch_value("SELECT a FROM t") == 2


async def test_a_savepoint_fails_alone(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            with pytest.raises(SqlIntegrityError):
                async with session.transaction():
                    await session.execute("INSERT INTO t (a) VALUES (2)")
                    await session.execute("INSERT INTO t (a) VALUES (1)")
            with anyio.move_on_after(0.05):
                async with session.transaction():
                    await session.execute("INSERT INTO t (a) VALUES (3)")
                    await session.execute("SELECT pg_sleep(600)")
            async with session.transaction(), session.transaction():
                await session.execute("INSERT INTO t (a) VALUES (4)")
        assert await db.fetch_all("SELECT a FROM t ORDER BY a") == [{"a": 1}, {"a": 4}]


async def test_an_error_swallowed_in_a_part_ends_the_part_alone(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            with pytest.raises(SqlError, match="before it ended") as caught:
                async with session.transaction():
                    await session.execute("INSERT INTO t (a) VALUES (2)")
                    with pytest.raises(SqlIntegrityError):
                        await session.execute("INSERT INTO t (a) VALUES (1)")
            assert caught.value.sqlstate == "25P02"
            await session.execute("INSERT INTO t (a) VALUES (3)")
        assert await db.fetch_all("SELECT a FROM t ORDER BY a") == [{"a": 1}, {"a": 3}]


async def test_of_many_parts_that_failed_nothing_is_left_on_the_server(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            for number in range(3):
                with pytest.raises(LookupError):
                    async with session.transaction():
                        raise LookupError
                with pytest.raises(SqlError) as caught:
                    async with session.transaction():
                        await session.execute(f"RELEASE covet_savepoint_{2 * number + 1}")
                assert caught.value.sqlstate == "3B001"


async def test_a_stream_of_a_part_that_was_undone_says_so(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            before = session.stream("SELECT generate_series(1, 100) AS n")
            await anext(before)
            with pytest.raises(LookupError):
                async with session.transaction():
                    rows = session.stream("SELECT generate_series(1, 100) AS n")
                    await anext(rows)
                    raise LookupError
            with pytest.raises(SqlError, match="undone") as caught:
                async for _ in rows:
                    pass
            assert caught.value.sqlstate == "24000"
            # One that was begun before goes on.
            assert [row["n"] async for row in before] == list(range(2, 101))
            await session.execute("INSERT INTO t (a) VALUES (1)")
        assert await db.fetch_value("SELECT count(*) FROM t") == 1


async def test_an_error_ends_the_transaction_also_for_who_swallows_it(open_db: Opener) -> None:
    async with open_db() as db:
        with pytest.raises(SqlError, match="before its block ended") as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                with pytest.raises(SqlError):
                    await session.execute("SELEKT")
                with pytest.raises(SqlError) as later:
                    await session.execute("INSERT INTO t (a) VALUES (2)")
                assert later.value.sqlstate == "25P02"
        assert caught.value.sqlstate == "25P02"
        assert await db.fetch_all("SELECT a FROM t") == []


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN",
        " -- now\n begin",
        "START TRANSACTION",
        "COMMIT",
        "commit and chain",
        "END",
        "ABORT",
        "ROLLBACK",
        "/* x */ ROLLBACK WORK",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
    ],
)
async def test_transactions_are_blocks_not_statements(open_db: Opener, text: str) -> None:
    async with open_db() as db:
        for run in (db.execute, db.fetch_all):
            with pytest.raises(SqlError) as caught:
                await run(text)
            assert caught.value.sqlstate == "25001"
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            with pytest.raises(SqlError):
                await session.execute(text)
        assert await db.fetch_value("SELECT count(*) FROM t") == 1


async def test_copy_is_refused_before_anything_happens(open_db: Opener) -> None:
    async with open_db() as db:
        for text in ("COPY t TO STDOUT", "copy t (a) from stdin"):
            with pytest.raises(SqlError) as caught:
                await db.execute(text)
            assert caught.value.sqlstate == "0A000"
        assert db.counts.discarded == 0


@pytest.mark.parametrize(
    ("text", "look", "clean"),
    [
        ("SET search_path = 'elsewhere'", "SHOW search_path", '"$user", public'),
        ("SELECT set_config('search_path', 'elsewhere', false)", "SHOW search_path", '"$user", public'),
        ("CREATE TEMP TABLE left_over (a INTEGER)", "SELECT to_regclass('left_over')::text FOR UPDATE", None),
        ("SELECT pg_advisory_lock(5)", "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'", "0"),
        ("LISTEN news", "SELECT count(*)::text FROM pg_listening_channels()", "0"),
    ],
)  # fmt: skip
async def test_nothing_is_left_for_the_next_user(
    open_db: Opener, text: str, look: str, clean: str | None
) -> None:
    async with open_db(pool_size=1, lane_size=0) as db:
        for _ in range(2):
            await db.execute(text)
            assert await db.fetch_value(look.replace(" FOR UPDATE", "")) == clean
            async with db.transaction() as session:
                await session.execute(text)
            assert await db.fetch_value(look.replace(" FOR UPDATE", "")) == clean
        assert db.counts.discarded == 0
        # What had been prepared was forgotten with it.
        assert await db.execute("INSERT INTO t (a) VALUES (?)", (1,)) == 1


async def test_a_task_in_a_transaction_is_told_not_to_use_the_database(open_db: Opener) -> None:
    async with open_db() as db, db.transaction() as session:
        with pytest.raises(SqlError, match=r"test_transactions\.py") as caught:
            await db.execute("INSERT INTO t (a) VALUES (1)")
        assert caught.value.sqlstate == "25001"
        with pytest.raises(SqlError, match="session"):
            async with db.transaction():
                pass
        assert await session.fetch_value("SELECT count(*) FROM t") == 0


async def test_a_transaction_that_cannot_be_committed_is_said_to_be(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute(
            "ALTER TABLE t ADD CONSTRAINT late UNIQUE (a, id) DEFERRABLE INITIALLY DEFERRED"
        )
        with pytest.raises(SqlIntegrityError):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (id, a) VALUES (1, NULL)")
                await session.execute("ALTER TABLE t DROP CONSTRAINT t_pkey")
                await session.execute(
                    "ALTER TABLE t ADD CONSTRAINT p UNIQUE (id) DEFERRABLE INITIALLY DEFERRED"
                )
                await session.execute("INSERT INTO t (id, a) VALUES (1, NULL)")
        assert await db.fetch_value("SELECT count(*) FROM t") == 0


async def test_a_commit_that_is_not_answered_is_unknown(
    open_db: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_db(cleanup_timeout=0.2) as db:
        with pytest.raises(SqlUnavailableError) as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                link = session._connection.link
                monkeypatch.setattr(link, "_read_on", lambda: None)
        assert caught.value.sqlstate == "08007"
        assert db.pool.opened == 0
        assert await db.execute("INSERT INTO t (a) VALUES (2)") == 1


async def test_only_queries_are_streamed(open_db: Opener) -> None:
    async with open_db() as db:
        for text in (
            "INSERT INTO t (a) VALUES (1) RETURNING a",
            "CREATE TABLE u (a INTEGER)",
            "SHOW ALL",
        ):
            with pytest.raises(SqlError):
                async for _ in db.stream(text):
                    pass
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
        assert [row async for row in db.stream("WITH x AS (SELECT 1 AS a) TABLE x;")] == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "stains"),
    [
        ("SELECT set_config('search_path', ?, true)", False),
        ("SELECT SET_CONFIG ( ?, ? , TRUE ), to_regnamespace(?) IS NOT NULL", False),
        ("SELECT set_config('search_path', ?, false)", True),
        ("SELECT set_config('search_path', ?, ?)", True),
        ("SELECT set_config('a', 'b', true), set_config('c', 'd', false)", True),
        ("SELECT set_config('a', (SELECT set_config('c', 'd', false)), true)", True),
        ("SELECT set_config('a', 'b, true)', false)", True),
    ],
)
def test_a_setting_of_the_transaction_alone_leaves_nothing_behind(text, stains) -> None:
    from covet_postgres._statement import PostgresStatement

    statement = PostgresStatement(text)
    assert statement.stains is stains
    # Whatever it leaves, on a connection that all tasks share it has no place.
    assert not statement.shared
