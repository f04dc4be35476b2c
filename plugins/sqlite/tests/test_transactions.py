"""Transactions beyond the contract: how SQLite's own ways of ending them are met."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from covet_kernel.contracts import SqlConflictError, SqlError, SqlIntegrityError
from covet_sqlite._database import SqliteDatabase

Opener = Callable[..., AbstractAsyncContextManager[SqliteDatabase]]


async def test_readers_go_on_beside_an_open_write_and_see_what_was_committed(
    open_db: Opener,
) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            assert await db.fetch_value("SELECT count(*) FROM t") == 0
        assert await db.fetch_value("SELECT count(*) FROM t") == 1


async def test_a_read_only_block_keeps_its_snapshot(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction(read_only=True) as session:
            assert await session.fetch_value("SELECT count(*) FROM t") == 0
            await db.execute("INSERT INTO t (a) VALUES (1)")
            assert await session.fetch_value("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("text", ["COMMIT", " end", "ROLLBACK", "rollback transaction"])
async def test_a_transaction_is_not_ended_with_sql(open_db: Opener, text: str) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            with pytest.raises(SqlError) as caught:
                await session.execute(text)
            assert caught.value.sqlstate == "25001"
            await session.execute("INSERT INTO t (a) VALUES (2)")
        assert await db.fetch_value("SELECT count(*) FROM t") == 2


async def test_one_ended_all_the_same_is_noticed(open_db: Opener) -> None:
    async with open_db() as db:
        with pytest.raises(SqlError) as caught:
            async with db.transaction() as session:
                await session.execute("/* hidden */ ROLLBACK")
                await session.execute("INSERT INTO t (a) VALUES (1)")
        assert caught.value.sqlstate == "25P02"
        assert await db.fetch_value("SELECT count(*) FROM t") == 0


async def test_after_an_error_that_rolls_back_nothing_is_committed(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        with pytest.raises(SqlError) as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (2)")
                with pytest.raises(SqlIntegrityError):
                    await session.execute("INSERT OR ROLLBACK INTO t (a) VALUES (1)")
                with pytest.raises(SqlError):
                    await session.execute("INSERT INTO t (a) VALUES (3)")
        assert caught.value.sqlstate == "25P02"
        assert await db.fetch_all("SELECT a FROM t") == [{"a": 1}]


async def test_a_commit_that_is_refused_rolls_back(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute(
            "CREATE TABLE child (t INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)"
        )
        with pytest.raises(SqlIntegrityError) as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO child VALUES (7)")
        assert caught.value.sqlstate == "23503"
        assert await db.fetch_all("SELECT * FROM child") == []
        await db.execute("INSERT INTO t (id) VALUES (7)")


async def test_savepoints(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            await session.execute("INSERT INTO t (a) VALUES (1)")
            await session.execute("SAVEPOINT s")
            await session.execute("INSERT INTO t (a) VALUES (2)")
            await session.execute("ROLLBACK TO s")
            await session.execute("RELEASE s")
        assert await db.fetch_all("SELECT a FROM t") == [{"a": 1}]


async def test_a_part_cannot_outlive_what_ends_the_transaction(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        with pytest.raises(SqlError) as whole:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (2)")
                with pytest.raises(SqlIntegrityError):
                    async with session.transaction():
                        await session.execute("INSERT OR ROLLBACK INTO t (a) VALUES (1)")
                for _ in range(2):
                    with pytest.raises(SqlError) as part:
                        async with session.transaction():
                            pass
                    assert part.value.sqlstate == "25P02"
        assert whole.value.sqlstate == "25P02"
        assert await db.fetch_all("SELECT a FROM t") == [{"a": 1}]


async def test_a_write_cancelled_within_a_part_ends_the_transaction_and_says_so(
    open_db: Opener,
) -> None:
    endless = (
        "INSERT INTO t (a) WITH RECURSIVE c(x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM c)"
        " SELECT x FROM c WHERE x < 0"
    )
    async with open_db() as db:
        with pytest.raises(SqlError) as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                with anyio.move_on_after(0.05) as scope:
                    async with session.transaction():
                        await session.execute(endless)
                assert scope.cancelled_caught
        assert caught.value.sqlstate == "25P02"
        assert await db.fetch_value("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("text", ["BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT s"])
async def test_one_is_not_begun_with_sql(open_db: Opener, text: str) -> None:
    async with open_db() as db:
        with pytest.raises(SqlError) as caught:
            await db.execute(text)
        assert caught.value.sqlstate == "25001"
        await db.execute("INSERT INTO t (a) VALUES (1)")
        async with db.transaction(read_only=True) as session:
            assert await session.fetch_value("SELECT count(*) FROM t") == 1


async def test_a_stream_ends_with_its_session(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute_many("INSERT INTO t (a) VALUES (?)", ((n,) for n in range(500)))
        async with db.transaction(read_only=True) as session:
            rows = session.stream("SELECT a FROM t")
            await anext(rows)
        with pytest.raises(SqlError):
            async for _ in rows:
                pass
        assert await db.execute("DELETE FROM t") == 500


async def test_waiting_for_the_writer_ends(open_db: Opener) -> None:
    async with open_db(acquire_timeout=0.05) as db:

        async def late() -> None:
            with pytest.raises(SqlConflictError) as caught:
                await db.execute("INSERT INTO t (a) VALUES (1)")
            assert caught.value.sqlstate == "40001"

        async with db.transaction(), anyio.create_task_group() as tasks:
            tasks.start_soon(late)
        assert db.writer.waiting == 0
        await db.execute("INSERT INTO t (a) VALUES (1)")


async def test_waiting_for_oneself_is_refused_at_once(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session:
            for _ in range(2):
                with pytest.raises(SqlError, match="use the transaction's session"):
                    await db.execute("INSERT INTO t (a) VALUES (1)")
                with pytest.raises(SqlError, match="use the transaction's session"):
                    async with db.transaction():
                        pass
            await session.execute("INSERT INTO t (a) VALUES (1)")
        assert await db.execute("INSERT INTO t (a) VALUES (2)") == 1


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_transaction_begins_behind_a_statement_that_could_not_be_prepared(
    open_db, read_only
) -> None:
    async with open_db(readers=1) as db:
        with pytest.raises(SqlError, match="nonsense"):
            await db.fetch_all("SELECT nonsense FROM t")
        with pytest.raises(SqlError, match="nonsense"):
            await db.execute("UPDATE t SET nonsense = 1")
        async with db.transaction(read_only=read_only) as session:
            assert await session.fetch_all("SELECT id FROM t") == []
