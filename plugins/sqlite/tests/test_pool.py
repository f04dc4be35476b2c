"""Who waits is served in order, and no connection is lost, whoever is cancelled when."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_sqlite import SqliteConfig
from covet_sqlite._connection import Connection
from covet_sqlite._database import SqliteDatabase

Opener = Callable[..., AbstractAsyncContextManager[SqliteDatabase]]


async def test_the_writer_is_had_in_the_order_of_asking(open_db: Opener) -> None:
    async with open_db() as db:

        async def write(number: int) -> None:
            await db.execute("INSERT INTO t (a) VALUES (?)", (number,))

        async with anyio.create_task_group() as tasks:
            async with db.transaction():
                for number in range(20):
                    tasks.start_soon(write, number)
                    while db.writer.waiting <= number:
                        await anyio.lowlevel.checkpoint()
        rows = await db.fetch_all("SELECT a FROM t ORDER BY id")
        assert [row["a"] for row in rows] == list(range(20))


async def test_readers_are_opened_as_they_are_needed(open_db: Opener) -> None:
    async with open_db(readers=3) as db:
        assert db.readers.opened == 0
        for _ in range(5):
            await db.fetch_all("SELECT 1")
        assert db.readers.opened == 1
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(db.fetch_all, "SELECT 1")
        assert db.readers.opened == 3
        assert len(db.readers.idle) == 3


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_after_any_storm_everything_is_idle(backend: str, seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        db = SqliteDatabase(None, SqliteConfig())
        await db.execute("CREATE TABLE t (a)")
        await db.execute("INSERT INTO t VALUES (0)")
        done = 0

        async def call(scope: anyio.CancelScope, kind: float) -> None:
            nonlocal done
            with scope:
                if kind < 0.3:
                    await db.fetch_all("SELECT a FROM t")
                elif kind < 0.6:
                    async with db.transaction() as session:
                        await session.execute("UPDATE t SET a = a + 1")
                        await anyio.lowlevel.checkpoint()
                        if kind < 0.4:
                            return
                        raise LookupError
                else:
                    async for _ in db.stream("SELECT a FROM t"):
                        pass
                done += 1

        async def tolerant(scope: anyio.CancelScope, kind: float) -> None:
            with suppress(LookupError):
                await call(scope, kind)

        scopes = []
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                scope = anyio.CancelScope()
                scopes.append(scope)
                tasks.start_soon(tolerant, scope, chance.random())
                for _ in range(chance.randrange(4)):
                    await anyio.lowlevel.checkpoint()
                if chance.random() < 0.5:
                    chance.choice(scopes).cancel()
        for pool in (db.writer, db.readers):
            assert (pool.in_use, pool.waiting) == (0, 0)
            assert pool.opened == len(pool.idle)
        assert db.counts.discarded == 0
        await db.execute("UPDATE t SET a = 1")
        await db.close()

    before = threading.active_count()
    anyio.run(main, backend=backend)
    assert threading.active_count() == before


async def test_a_connection_that_cannot_be_opened_holds_nobody_up(
    open_db: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_db() as db:
        left = [SqlUnavailableError("gone", sqlstate="08001")] * 3
        open_one = Connection._open

        def failing(self: Connection) -> None:
            if left:
                raise left.pop()
            open_one(self)

        monkeypatch.setattr(Connection, "_open", failing)
        outcomes: list[str] = []

        async def read() -> None:
            try:
                await db.fetch_all("SELECT 1")
                outcomes.append("read")
            except SqlUnavailableError:
                outcomes.append("gone")

        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(read)
        assert sorted(outcomes) == ["gone"] * 3 + ["read"] * 9
        assert db.readers.opened == len(db.readers.idle)


async def test_a_commit_that_hangs_is_given_up_and_the_next_writer_is_new(
    open_db: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_db(cleanup_timeout=0.05) as db:
        commit = Connection._commit
        stuck = threading.Event()

        def hanging(self: Connection) -> None:
            stuck.wait(10)
            commit(self)

        monkeypatch.setattr(Connection, "_commit", hanging)
        with pytest.raises(SqlUnavailableError) as caught:
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
        assert caught.value.sqlstate == "08007"
        assert db.writer.opened == 0
        assert db.counts.discarded == 1
        monkeypatch.undo()
        stuck.set()
        # The thread finishes what it was told and closes; meanwhile the file's lock makes others wait.
        assert await db.execute("INSERT INTO t (a) VALUES (2)") == 1


async def test_a_rollback_that_fails_leaves_the_blocks_own_error(
    open_db: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Connection) -> None:
        raise SqlError("disk full", sqlstate="53100")

    async with open_db() as db:
        monkeypatch.setattr(Connection, "_roll_back", failing)
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                raise LookupError
        monkeypatch.undo()
        assert db.counts.discarded == 1
        assert db.writer.opened == 0
        assert await db.fetch_all("SELECT a FROM t") == []
        assert await db.execute("INSERT INTO t (a) VALUES (1)") == 1


async def test_a_stream_that_opens_while_it_is_cancelled_is_closed(
    open_db: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_stream, opened = Connection._open_stream, threading.Event()

    def slow(self: Connection, *args: object) -> None:
        open_stream(self, *args)  # type: ignore[arg-type]
        opened.wait(10)

    async with open_db() as db:
        await db.execute_many("INSERT INTO t (a) VALUES (?)", ((n,) for n in range(500)))
        monkeypatch.setattr(Connection, "_open_stream", slow)
        with anyio.move_on_after(0.05) as scope:
            rows = db.stream("SELECT a FROM t")
            threading.Timer(0.1, opened.set).start()
            await anext(rows)
        assert scope.cancelled_caught
        (reader,) = db.readers.idle
        assert len(await db.fetch_all("SELECT a FROM t")) == 500
        assert not reader._streams
        assert db.counts.discarded == 0


async def test_closing_fails_who_still_uses_it_clearly(open_db: Opener) -> None:
    async with open_db(cleanup_timeout=0.05) as db:
        with pytest.raises(SqlUnavailableError):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t (a) VALUES (1)")
                await db.close()
                await session.execute("INSERT INTO t (a) VALUES (2)")
        for use in (db.fetch_all, db.execute):
            with pytest.raises(SqlUnavailableError, match="closed"):
                await use("SELECT 1")


async def test_closing_answers_who_waits(open_db: Opener) -> None:
    async with open_db() as db:
        outcomes: list[str] = []

        async def write() -> None:
            try:
                await db.execute("INSERT INTO t (a) VALUES (1)")
            except SqlError as error:
                outcomes.append(error.sqlstate)

        async with anyio.create_task_group() as tasks:
            async with db.transaction():
                tasks.start_soon(write)
                while not db.writer.waiting:
                    await anyio.lowlevel.checkpoint()
                tasks.start_soon(db.close)
                while not outcomes:
                    await anyio.lowlevel.checkpoint()
        assert outcomes == ["08003"]


def test_what_was_committed_before_a_kill_is_there(tmp_path: Path) -> None:
    program = """
import sys, anyio
from pathlib import Path
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_sqlite import Sqlite

async def main():
    async with run_kernel({"sqlite": Sqlite}, directory=Path(sys.argv[1])) as kernel:
        db = kernel.require(SQL)
        await db.execute("CREATE TABLE t (a)")
        for number in range(100000):
            async with db.transaction() as session:
                await session.execute("INSERT INTO t VALUES (?)", (number,))
                await session.execute("INSERT INTO t VALUES (?)", (-number,))
            print(number, flush=True)

anyio.run(main)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(50)]
        process.kill()
        seen += [int(line) for line in process.stdout.read().splitlines()]
    count, total = anyio.run(count_and_sum, tmp_path / "app.db")
    # Everything acknowledged is there, the one in flight wholly or not at all.
    assert count in (2 * len(seen), 2 * len(seen) + 2)
    assert total == 0


async def count_and_sum(file: Path) -> tuple[int, int]:
    db = SqliteDatabase(file, SqliteConfig())
    await db.open()
    row = await db.fetch_one("SELECT count(*) AS count, sum(a) AS total FROM t")
    await db.close()
    assert row is not None
    return row["count"], row["total"]
