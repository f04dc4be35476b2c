"""Transactions, savepoints, and what a statement may not leave behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from covet_kernel.contracts import (
    Isolation,
    SqlConflictError,
    SqlError,
    SqlIntegrityError,
    SqlUnavailableError,
)
from covet_mysql._database import MysqlDatabase

Opener = Callable[..., AbstractAsyncContextManager[MysqlDatabase]]
LEVELS: tuple[Isolation, ...] = ("read committed", "repeatable read", "serializable")
SEEN = {
    None: (1, False),
    "read committed": (2, False),
    "repeatable read": (1, False),
    "serializable": (1, True),
}
"""What a transaction reads after another has changed it, and whether it could."""


@pytest.mark.parametrize("level", [*LEVELS, None])
async def test_isolation(open_db: Opener, level: Isolation | None) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (id, a) VALUES (1, 1)")
        refused: list[bool] = []

        async def change() -> None:
            try:
                async with db.transaction() as other:
                    await other.fetch_all("SELECT a FROM t WHERE id = 1 FOR UPDATE NOWAIT")
                    await other.execute("UPDATE t SET a = 2 WHERE id = 1")
            except SqlConflictError:
                refused.append(True)
            else:
                refused.append(False)

        # A level is its transaction's alone, whatever the connection had before.
        async with db.transaction(isolation="serializable") as session:
            await session.fetch_all("SELECT a FROM t")
        async with db.transaction(isolation=level) as session:
            assert await session.fetch_value("SELECT a FROM t WHERE id = 1") == 1
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(change)
            read = await session.fetch_value("SELECT a FROM t WHERE id = 1")
        assert (read, *refused) == SEEN[level]


async def test_what_only_reads_changes_nothing(open_db: Opener) -> None:
    async with open_db(pool_size=1) as db:
        async with db.transaction(read_only=True, isolation="read committed") as session:
            with pytest.raises(SqlError) as caught:
                async with session.transaction():
                    await session.execute("INSERT INTO t (a) VALUES (1)")
            assert caught.value.sqlstate == "25006"
            assert await session.fetch_all("SELECT a FROM t") == []
        async with db.transaction() as session:
            assert await session.execute("INSERT INTO t (a) VALUES (1)") == 1


async def deadlock(db: MysqlDatabase, session: Any) -> None:
    """Have the session's transaction be the one that a deadlock ends."""
    ready = anyio.Event()

    async def other() -> None:
        async with db.transaction() as heavy:
            # The one that has changed less is ended.
            await heavy.execute_many("INSERT INTO t (a) VALUES (?)", [(n,) for n in range(50, 90)])
            await heavy.execute("UPDATE t SET a = 20 WHERE a = 2")
            ready.set()
            await heavy.execute("UPDATE t SET a = 10 WHERE a = 1")

    await session.execute("UPDATE t SET a = 11 WHERE a = 1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await ready.wait()
        with pytest.raises(SqlConflictError) as caught:
            await session.execute("UPDATE t SET a = 22 WHERE a = 2")
        assert caught.value.sqlstate == "40001"


async def test_a_deadlock_is_a_conflict_and_what_comes_behind_is_not_kept(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1), (2)")
        with pytest.raises(SqlError, match="before its block ended") as caught:
            async with db.transaction() as session:
                await deadlock(db, session)
                # The server would commit this by itself, for there is no transaction any more.
                for call in (
                    lambda: session.execute("INSERT INTO t (a) VALUES (99)"),
                    lambda: session.fetch_all("SELECT a FROM t"),
                    lambda: session.execute_many("INSERT INTO t (a) VALUES (?)", [(98,)]),
                    lambda: anext(session.stream("SELECT a FROM t")),
                    lambda: session.transaction().__aenter__(),
                ):
                    with pytest.raises(SqlError) as later:
                        await call()
                    assert later.value.sqlstate == "25P02"
        assert caught.value.sqlstate == "25P02"
        assert await db.fetch_all("SELECT a FROM t WHERE a > 90 OR a < 30 ORDER BY a") == [
            {"a": 10},
            {"a": 20},
        ]
        assert db.counts.discarded == 0


async def test_a_deadlock_within_a_savepoint_ends_the_transaction_too(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1), (2)")
        with pytest.raises(SqlConflictError):
            async with db.transaction() as session:
                with pytest.raises(LookupError):
                    async with session.transaction():
                        await deadlock(db, session)
                        raise LookupError
                with pytest.raises(SqlError):
                    await session.execute("INSERT INTO t (a) VALUES (99)")
                raise SqlConflictError("again", sqlstate="40001")
        assert await db.fetch_value("SELECT count(*) FROM t WHERE a = 99") == 0


async def test_a_deadlock_in_the_middle_of_many_keeps_none_of_them(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1), (2)")
        ready = anyio.Event()

        async def other() -> None:
            async with db.transaction() as heavy:
                rows = [(n,) for n in range(50, 90)]
                await heavy.execute_many("INSERT INTO t (a) VALUES (?)", rows)
                await heavy.execute("UPDATE t SET a = 20 WHERE a = 2")
                ready.set()
                await heavy.execute("UPDATE t SET a = 10 WHERE a = 1")

        with pytest.raises(SqlConflictError):
            async with db.transaction() as session:
                await session.execute("UPDATE t SET a = 11 WHERE a = 1")
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(other)
                    await ready.wait()
                    try:
                        # All are sent at once, and those behind the second are run without it.
                        await session.execute_many(
                            "UPDATE t SET a = ? WHERE a = ?",
                            [(12, 11), (22, 2), (500, 50), (510, 51), (12, 20)],
                        )
                    except SqlConflictError:
                        raised = True
                    else:
                        raised = False
                assert raised
                raise SqlConflictError("again", sqlstate="40001")
        assert await db.fetch_value("SELECT count(*) FROM t WHERE a IN (12, 22, 500, 510)") == 0
        assert await db.fetch_value("SELECT count(*) FROM t") == 42
        # The connections commit by themselves again.
        assert await db.execute("INSERT INTO t (a) VALUES (1000)") == 1
        assert all(connection.usable for connection in db.pool.idle)
        assert await db.fetch_value("SELECT count(*) FROM t WHERE a = 1000") == 1


async def test_many_of_a_session_are_kept_all_or_none(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            with pytest.raises(SqlIntegrityError):
                await session.execute_many("INSERT INTO t (a) VALUES (?)", [(2,), (1,), (3,)])
            assert await session.fetch_all("SELECT a FROM t") == [{"a": 1}]
            assert await session.execute_many("INSERT INTO t (a) VALUES (?)", [(4,), (5,)]) == 2
        assert await db.fetch_value("SELECT count(*) FROM t") == 3
        (connection,) = db.pool.idle
        assert connection.usable
        assert await db.fetch_value("SELECT @@autocommit AS a") == 1


async def test_a_lock_that_is_not_had_is_a_conflict(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        async with db.transaction() as session:
            await session.fetch_all("SELECT a FROM t WHERE a = 1 FOR UPDATE")

            async def other() -> None:
                async with db.transaction() as late:
                    with pytest.raises(SqlConflictError):
                        await late.fetch_all("SELECT a FROM t WHERE a = 1 FOR UPDATE NOWAIT")
                    # That ended the statement only.
                    await late.execute("INSERT INTO t (a) VALUES (2)")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(other)
        assert await db.fetch_value("SELECT count(*) FROM t") == 2


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
                    await session.execute("DO sleep(600)")
            async with session.transaction(), session.transaction():
                await session.execute("INSERT INTO t (a) VALUES (4)")
        assert await db.fetch_all("SELECT a FROM t ORDER BY a") == [{"a": 1}, {"a": 4}]


async def test_an_error_ends_its_statement_only(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            for text in ("SELEKT", "INSERT INTO t (a) VALUES (1)", "SELECT b FROM t"):
                with pytest.raises(SqlError):
                    await session.execute(text)
            await session.execute("INSERT INTO t (a) VALUES (2)")
        assert await db.fetch_value("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize(
    "text",
    ["BEGIN", "COMMIT", "ROLLBACK", "SET autocommit = 1", "XA BEGIN 'x'", "CREATE TABLE u (a INT)",
     "TRUNCATE t", "LOCK TABLES t READ"],
)  # fmt: skip
async def test_transactions_are_blocks_not_statements(open_db: Opener, text: str) -> None:
    async with open_db() as db:
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                with pytest.raises(SqlError) as caught:
                    await session.execute(text)
                assert caught.value.sqlstate == "25001"
                raise LookupError
        assert await db.fetch_value("SELECT count(*) FROM t") == 0


async def test_a_commit_in_a_procedure_is_found_out(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("CREATE PROCEDURE sly () BEGIN COMMIT; END")
        with pytest.raises(SqlError, match="before its block ended"):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                with pytest.raises(SqlError, match="committed") as caught:
                    await session.execute("CALL sly()")
                assert caught.value.sqlstate == "25000"
                with pytest.raises(SqlError):
                    await session.execute("INSERT INTO t (a) VALUES (2)")
        assert await db.fetch_all("SELECT a FROM t") == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "look", "clean"),
    [
        ("SET @x = 5", "SELECT @x AS x", None),
        ("SET SESSION sql_mode = ''", "SELECT @@sql_mode LIKE '%ANSI_QUOTES%' AS x", 1),
        ("SELECT @x := 5", "SELECT @x AS x", None),
        ("SELECT 5 INTO @x", "SELECT @x AS x", None),
        ("CREATE TEMPORARY TABLE left_over (a INTEGER)",
         "SELECT count(*) AS x FROM information_schema.temp_tables_info", None),
        ("DO GET_LOCK('l', 0)", "SELECT IS_USED_LOCK('l') AS x", None),
        ("SET time_zone = '+05:00'", "SELECT @@time_zone AS x", "+00:00"),
        ("USE information_schema", "SELECT DATABASE() LIKE 'covet%' AS x", 1),
        ("CALL leaves()", "SELECT @x AS x", None),
    ],
)  # fmt: skip
async def test_nothing_is_left_for_the_next_user(
    open_db: Opener, text: str, look: str, clean: object
) -> None:
    async with open_db(pool_size=1) as db:
        await db.execute("CREATE PROCEDURE leaves () SET @x = 5")
        for _ in range(2):
            await db.execute(text)
            if "temp_tables_info" in look:
                with pytest.raises(SqlError):
                    await db.fetch_all("SELECT * FROM left_over")
            else:
                assert await db.fetch_value(look) == clean
            async with db.transaction() as session:
                await session.execute(text)
            if "temp_tables_info" not in look:
                assert await db.fetch_value(look) == clean
        assert db.counts.discarded == 0
        # What had been prepared was forgotten with it.
        assert await db.execute("INSERT INTO t (a) VALUES (?)", (1,)) == 1


async def test_ordinary_statements_need_no_reset(open_db: Opener) -> None:
    async with open_db(pool_size=1) as db:
        await db.execute("CREATE FUNCTION f () RETURNS INTEGER BEGIN SET @x = 5; RETURN 1; END")
        for _ in range(3):
            await db.execute("INSERT INTO t (a) VALUES (NULL)")
            await db.fetch_all("SELECT a FROM t")
            await db.execute("UPDATE t SET a = NULL")
            with anyio.fail_after(7):
                await db.fetch_all("SELECT a FROM t")
            async with db.transaction(isolation="serializable") as session:
                await session.execute("DELETE FROM t")
        (connection,) = db.pool.idle
        number = connection.link.thread
        kept = connection.link.known("SELECT a FROM t")
        assert kept is not None
        # What a function leaves behind, only the server knows.
        assert await db.fetch_value("SELECT f() AS f") == 1
        assert connection.link.known("SELECT a FROM t") is None
        assert await db.fetch_value("SELECT @x AS x") is None
        assert connection.link.thread == number


async def test_a_task_in_a_transaction_is_told_not_to_use_the_database(open_db: Opener) -> None:
    async with open_db() as db, db.transaction() as session:
        with pytest.raises(SqlError, match=r"test_transactions\.py") as caught:
            await db.execute("INSERT INTO t (a) VALUES (1)")
        assert caught.value.sqlstate == "25001"
        assert await session.fetch_value("SELECT count(*) FROM t") == 0


async def test_a_commit_that_is_not_answered_is_unknown(
    open_db: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_db(cleanup_timeout=0.2) as db:
        with pytest.raises(SqlUnavailableError) as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                link = session._connection.link  # type: ignore[attr-defined]
                monkeypatch.setattr(link, "_read_on", lambda: None)
        assert caught.value.sqlstate == "08007"
        assert db.pool.opened == 0
        assert await db.execute("INSERT INTO t (a) VALUES (2)") == 1


async def test_only_queries_are_streamed(open_db: Opener) -> None:
    async with open_db() as db:
        for text in (
            "INSERT INTO t (a) VALUES (1) RETURNING a",
            "CREATE TABLE u (a INT)",
            "SHOW TABLES",
        ):
            with pytest.raises(SqlError):
                async for _ in db.stream(text):
                    pass
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
        assert [row async for row in db.stream("WITH x AS (SELECT 1 AS a) SELECT * FROM x;")] == [
            {"a": 1}
        ]


async def test_values_and_files_stay_apart_from_texts(open_db: Opener) -> None:
    async with open_db() as db:
        with pytest.raises(SqlError) as caught:
            await db.execute("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t")
        assert caught.value.sqlstate == "0A000"


async def test_a_branch_is_ended_by_its_block_or_left_to_others(open_db: Opener) -> None:
    async with open_db(pool_size=2) as db:
        async with db.transaction(branch="one", isolation="serializable") as session:
            await session.execute_many("INSERT INTO t (a) VALUES (?)", [(1,), (2,)])
            assert await session.prepare()
            with pytest.raises(SqlError, match="has ended"):
                await session.execute("INSERT INTO t (a) VALUES (3)")
        assert await db.fetch_value("SELECT count(*) FROM t") == 2
        assert db.counts.discarded == 0
        with pytest.raises(ZeroDivisionError):
            async with db.transaction(branch="undone") as session:
                await session.execute("INSERT INTO t (a) VALUES (3)")
                assert await session.prepare()
                raise ZeroDivisionError
        async with db.transaction(branch="left") as session:
            await session.execute("INSERT INTO t (a) VALUES (4)")
            assert await session.prepare()
            session.leave()
        assert db.counts.discarded == 1
        assert [each.name for each in await db.prepared()] == ["left"]
        with anyio.fail_after(30):
            # Not before the server has seen the end of its connection.
            while not await db.end_prepared("left", commit=False):
                await anyio.sleep(0.01)
        assert await db.prepared() == []
        assert not await db.end_prepared("left", commit=True)
        assert await db.fetch_value("SELECT count(*) FROM t") == 2
        with pytest.raises(SqlError, match="cannot be the name of a branch"):
            await db.end_prepared("' OR '", commit=True)
        assert await db.refuses_branches() == ""
