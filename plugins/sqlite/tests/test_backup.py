"""A copy is whole, of one moment, made beside readers and writers, or is not there at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from covet_kernel.contracts import SQL, SqlDatabase, SqlError
from covet_kernel.testing import run_kernel
from covet_sqlite import Sqlite, _backup, backup

ROWS = 200


def kernel(path: Path | str) -> Any:
    return run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": str(path)}})


async def fill(database: SqlDatabase) -> None:
    await database.execute(
        "CREATE TABLE coins (id INTEGER PRIMARY KEY, side INTEGER, pad TEXT) STRICT"
    )
    await database.execute_many(
        "INSERT INTO coins (side, pad) VALUES (?, ?)", [(n % 2, "x" * 2000) for n in range(ROWS)]
    )


def read(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return copy.execute(sql).fetchone()[0]


def beside(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


async def test_a_copy_is_the_database(tmp_path: Path) -> None:
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    told: list[tuple[int, int]] = []
    async with kernel(tmp_path / "shop.db") as running:
        database = running.require(SQL)
        await fill(database)
        await backup(database, target, progress=lambda *at: told.append(at))
    assert told[-1][0] == told[-1][1] > 0
    assert read(target, "SELECT count(*) FROM coins") == ROWS
    assert beside(target) == ["copy.db"]
    async with kernel(target) as running:
        assert await running.require(SQL).fetch_value("SELECT count(*) FROM coins") == ROWS


async def test_it_is_of_one_moment_while_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backup, "PAGES", 1)
    target = tmp_path / "copy.db"
    async with kernel(tmp_path / "shop.db") as running:
        database = running.require(SQL)
        await fill(database)
        turns = 0
        steps = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await database.execute("UPDATE coins SET side = 1 - side")
                turns += 1

        def step(_done: int, _pages: int) -> None:
            nonlocal steps
            steps += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
            with anyio.fail_after(60):
                while turns < 2:
                    await anyio.sleep(0.001)
                begun = turns
                await backup(database, target, progress=step)
                ended = turns
            tasks.cancel_scope.cancel()
    assert ended > begun, "writers go on"
    assert steps > 50
    assert read(target, "SELECT count(*) FROM coins") == ROWS
    # All coins were turned together: half of them show each side, in order.
    assert read(target, "SELECT count(DISTINCT (id + side) % 2) FROM coins") == 1


async def test_what_is_there_is_replaced_only_when_that_is_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_bytes(b"precious")
    async with kernel(tmp_path / "shop.db") as running:
        database = running.require(SQL)
        await fill(database)
        with pytest.raises(SqlError, match="is there already") as caught:
            await backup(database, target)
        assert caught.value.sqlstate == "58P02"
        assert target.read_bytes() == b"precious"
        await backup(database, target, replace=True)
        assert read(target, "SELECT count(*) FROM coins") == ROWS
        with pytest.raises(SqlError, match="to itself"):
            await backup(database, tmp_path / "shop.db", replace=True)
        async with kernel(target) as other:
            await other.require(SQL).execute("DELETE FROM coins WHERE id = 1")
            with pytest.raises(SqlError, match="in use") as caught:
                await backup(database, target, replace=True)
            assert caught.value.sqlstate == "55006"
        assert await database.fetch_value("SELECT count(*) FROM coins") == ROWS


async def test_cancelled_after_any_step_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backup, "PAGES", 20)
    folder = tmp_path / "copies"
    folder.mkdir()
    async with kernel(tmp_path / "shop.db") as running:
        database = running.require(SQL)
        await fill(database)
        pages = await database.fetch_value("SELECT page_count FROM pragma_page_count")
        for last in range(20, pages + 20, 20):
            with anyio.CancelScope() as scope:

                def step(done: int, pages: int, last: int = last) -> None:
                    if done >= min(last, pages):
                        scope.cancel()

                await backup(database, folder / "copy.db", progress=step)
            assert scope.cancelled_caught
            assert list(folder.iterdir()) == []
        await database.execute("DELETE FROM coins WHERE id = 1")  # and no lock either


async def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    async with kernel(tmp_path / "shop.db") as running:
        database = running.require(SQL)
        await fill(database)
        with pytest.raises(SqlError) as caught:
            await backup(database, tmp_path / "nowhere" / "copy.db")
        assert caught.value.sqlstate in ("08001", "58030")
        (tmp_path / "folder").mkdir()
        with pytest.raises(SqlError):
            await backup(database, tmp_path / "folder", replace=True)
        assert [name for name in beside(tmp_path / "shop.db") if "folder." in name] == []


async def test_what_is_no_file_is_refused() -> None:
    async with kernel(":memory:") as running:
        with pytest.raises(SqlError) as caught:
            await backup(running.require(SQL), "copy.db")
        assert caught.value.sqlstate == "0A000"
