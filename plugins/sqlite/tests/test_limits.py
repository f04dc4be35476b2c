"""Locks of others, runaway statements, and what a statement may not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import anyio
import apsw
import pytest

from covet_kernel.contracts import SqlConflictError, SqlError
from covet_sqlite._database import SqliteDatabase

Opener = Callable[..., AbstractAsyncContextManager[SqliteDatabase]]

RUNAWAY = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    other = apsw.Connection(str(file))
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close(True)


async def test_anothers_lock_is_a_conflict_and_reading_goes_on(
    open_db: Opener, tmp_path: Path
) -> None:
    async with open_db(busy_timeout=0.05) as db:
        with locked(tmp_path / "app.db"):
            for _ in range(2):
                with pytest.raises(SqlConflictError) as caught:
                    await db.execute("INSERT INTO t (a) VALUES (1)")
                assert caught.value.sqlstate == "40001"
                with pytest.raises(SqlConflictError) as caught:
                    async with db.transaction() as session:
                        await session.fetch_all("SELECT * FROM t")
                # Nothing that begins anew at once would help with.
                assert caught.value.sqlstate == "55P03"
            assert await db.fetch_all("SELECT * FROM t") == []
        assert await db.execute("INSERT INTO t (a) VALUES (1)") == 1


async def test_what_could_not_begin_runs_nothing(open_db: Opener, tmp_path: Path) -> None:
    async with open_db(busy_timeout=0.05) as db:
        with pytest.raises(SqlError) as caught:
            async with db.transaction() as session:
                with locked(tmp_path / "app.db"), pytest.raises(SqlConflictError):
                    await session.execute("INSERT INTO t (a) VALUES (1)")
                # The lock is free by now, and still there is no transaction.
                with pytest.raises(SqlError) as refused:
                    await session.execute("INSERT INTO t (a) VALUES (2)")
                assert refused.value.sqlstate == "25P02"
        assert caught.value.sqlstate == "25P02"
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
        async with db.transaction() as session:
            assert await session.execute("INSERT INTO t (a) VALUES (3)") == 1


async def test_a_block_may_begin_with_a_part_or_with_nothing(open_db: Opener) -> None:
    async with open_db() as db:
        async with db.transaction() as session, session.transaction() as part:
            await part.execute("INSERT INTO t (a) VALUES (1)")
        async with db.transaction():
            pass
        with pytest.raises(ZeroDivisionError):
            async with db.transaction():
                raise ZeroDivisionError
        assert await db.fetch_value("SELECT count(*) FROM t") == 1
        assert db.counts.discarded == 0


async def test_waiting_for_anothers_lock_can_be_cancelled(open_db: Opener, tmp_path: Path) -> None:
    async with open_db(busy_timeout=600) as db:
        with locked(tmp_path / "app.db"), anyio.fail_after(30):
            with anyio.move_on_after(0.05) as scope:
                await db.execute("INSERT INTO t (a) VALUES (1)")
            assert scope.cancelled_caught
        assert db.counts.discarded == 0
        assert await db.execute("INSERT INTO t (a) VALUES (1)") == 1


async def test_the_lock_is_had_when_the_other_lets_go(open_db: Opener, tmp_path: Path) -> None:
    async with open_db(busy_timeout=600) as db:
        async with anyio.create_task_group() as tasks:
            with locked(tmp_path / "app.db"):
                tasks.start_soon(db.execute, "INSERT INTO t (a) VALUES (1)")
                await anyio.sleep(0.05)
        assert await db.fetch_value("SELECT count(*) FROM t") == 1


async def test_a_runaway_statement_is_stopped(open_db: Opener) -> None:
    async with open_db(statement_timeout=0.05) as db:
        for text in (RUNAWAY, f"INSERT INTO t (a) {RUNAWAY}"):
            with pytest.raises(SqlError) as caught:
                await db.fetch_all(text)
            assert caught.value.sqlstate == "57014"
        assert await db.fetch_all("SELECT * FROM t") == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT load_extension('x.so')",
        "SELECT writefile('x', 'y')",
        "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x (a)')",
        'SELECT "misspelt" FROM t',
    ],
)
async def test_what_a_statement_may_not_do(open_db: Opener, text: str) -> None:
    async with open_db() as db:
        with pytest.raises(SqlError):
            await db.execute(text)


async def test_safe_settings_hold_on_every_connection(open_db: Opener) -> None:
    async with open_db() as db:
        async with (
            db.transaction(read_only=True) as reader,
            db.transaction() as writer,
        ):
            for session in (reader, writer):
                assert await session.fetch_value("PRAGMA foreign_keys") == 1
                assert await session.fetch_value("PRAGMA trusted_schema") == 0
                assert await session.fetch_value("PRAGMA synchronous") == 1
            assert await reader.fetch_value("PRAGMA query_only") == 1
            assert await writer.fetch_value("PRAGMA journal_mode") == "wal"
