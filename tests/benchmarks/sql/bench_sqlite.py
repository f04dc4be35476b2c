"""A point read and a small write on SQLite, as configured by default, against aiosqlite.

The table has 1,000 rows. A read fetches one of them as a dict by its key; a write updates one in a
transaction. Both files are in WAL mode with ``synchronous=NORMAL``, on the same disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import aiosqlite
import anyio
from benchmarks.measure import Comparison, interleaved, report

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_sqlite import Sqlite

CALLS = 400
READ = "SELECT id, title, author, stock FROM books WHERE id = ?"
WRITE = "UPDATE books SET stock = stock + 1 WHERE id = ?"
Work = Callable[[int], Awaitable[object]]


def fill(file: Path) -> None:
    """1,000 rows, in a file that is in WAL mode."""
    db = sqlite3.connect(file)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("CREATE TABLE books (id INTEGER PRIMARY KEY, title, author, stock)")
    rows = ((n, f"title {n}", f"author {n}", 0) for n in range(1000))
    db.executemany("INSERT INTO books VALUES (?, ?, ?, ?)", rows)
    db.commit()
    db.close()


@asynccontextmanager
async def covet(file: Path) -> AsyncIterator[tuple[Work, Work]]:
    config = {"sqlite": {"path": str(file)}}
    async with run_kernel({"sqlite": Sqlite}, config) as kernel:
        db = kernel.require(SQL)

        async def read(key: int) -> object:
            return await db.fetch_one(READ, (key,))

        async def write(key: int) -> object:
            async with db.transaction() as session:
                return await session.execute(WRITE, (key,))

        yield read, write


@asynccontextmanager
async def peer(file: Path) -> AsyncIterator[tuple[Work, Work]]:
    async with aiosqlite.connect(file) as db:
        db.row_factory = aiosqlite.Row
        await db.execute("PRAGMA synchronous=NORMAL")

        async def read(key: int) -> object:
            async with db.execute(READ, (key,)) as cursor:
                row = await cursor.fetchone()
            return dict(row) if row else None

        async def write(key: int) -> object:
            # It begins a transaction by itself.
            async with db.execute(WRITE, (key,)) as cursor:
                changed = cursor.rowcount
            await db.commit()
            return changed

        yield read, write


def measure(open_one: object, which: int, tasks: int, backend: str, file: Path) -> float:
    """Microseconds per call, ``tasks`` at a time."""

    async def main() -> float:
        async with open_one(file) as works:  # type: ignore[operator]
            work = works[which]

            async def some(many: int) -> None:
                for number in range(many):
                    await work(number)

            await some(50)
            begun = perf_counter()
            async with anyio.create_task_group() as group:
                for _ in range(tasks):
                    group.start_soon(some, CALLS // tasks)
            return 1e6 * (perf_counter() - begun) / CALLS

    return anyio.run(main, backend=backend)


def test_against_aiosqlite() -> None:
    with TemporaryDirectory() as folder:
        for subject, which, tasks, goal in (
            ("point read, one task", 0, 1, 0.3),
            ("point read, 8 tasks", 0, 8, 0.3),
            ("small write in a transaction, one task", 1, 1, 1.0),
        ):
            rivals: dict[str, Callable[[], float]] = {}
            for name, open_one, backend in (
                ("covet asyncio", covet, "asyncio"),
                ("covet trio", covet, "trio"),
                ("aiosqlite", peer, "asyncio"),
            ):
                file = Path(folder, f"{which}-{tasks}-{name}.db")
                fill(file)
                rivals[name] = partial(measure, open_one, which, tasks, backend, file)
            report(
                subject,
                interleaved(rivals, 15),
                [
                    Comparison("asyncio / aiosqlite", "covet asyncio", "aiosqlite", goal),
                    Comparison("trio / aiosqlite", "covet trio", "aiosqlite", goal * 1.1),
                ],
                unit="us",
            )


if __name__ == "__main__":
    test_against_aiosqlite()
