"""A million rows in and out of PostgreSQL by COPY, against that of ``psql``.

The table has four columns and no index. All of them read the same file, or what is in it, and write one.
What is measured is the time from the first byte to the last, the server's work with it: each has a
connection already, but for ``psql``, whose start is measured with nothing to copy and taken off.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import anyio
import asyncpg
import psycopg
from benchmarks.measure import Comparison, interleaved, report
from services import postgres

from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres, copy_in, copy_out, copy_rows

ROWS = 1_000_000
IN = "COPY books FROM STDIN"
OUT = "COPY books TO STDOUT"
COLUMNS = ["id", "title", "author", "stock"]
GOAL = 1.11
"""At least 0.9 of the rows in the same time."""

Copy = Callable[[SqlDatabase, Path], Awaitable[object]]


def row(number: int) -> tuple[int, str, str, int]:
    return number, f"title of {number}", f"author {number % 1000}", number % 7


async def from_file(db: SqlDatabase, file: Path) -> object:
    return await copy_in(db, IN, file)


async def from_bytes(db: SqlDatabase, file: Path) -> object:
    return await copy_in(db, IN, DATA)


async def from_rows(db: SqlDatabase, file: Path) -> object:
    return await copy_rows(db, "books", COLUMNS, map(row, range(ROWS)))


async def to_file(db: SqlDatabase, file: Path) -> object:
    async with (
        aclosing(copy_out(db, OUT)) as pieces,
        await anyio.open_file(file.with_suffix(".out"), "wb") as out,
    ):
        async for piece in pieces:
            out.wrapped.write(piece)
    return None


DATA = b""


def empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("TRUNCATE books")
        admin.execute("CHECKPOINT")


def by_covet(copy: Copy, backend: str, url: str, file: Path, *, anew: bool = True) -> float:
    """Seconds."""

    async def main() -> float:
        async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}) as kernel:
            db = kernel.require(SQL)
            await db.execute("SELECT 1 FOR UPDATE")
            begun = perf_counter()
            await copy(db, file)
            return perf_counter() - begun

    if anew:
        empty(url)
    return anyio.run(main, backend=backend)


def by_psql(command: str, url: str, *, anew: bool = True) -> float:
    """Seconds, without those that its start takes."""

    def run(text: str) -> float:
        begun = perf_counter()
        program = str(postgres.programs() / "psql")
        subprocess.run(
            [program, "-qX", "-d", url, "-c", text], check=True, stdout=subprocess.DEVNULL
        )
        return perf_counter() - begun

    if anew:
        empty(url)
    start = run("SELECT 1 FOR UPDATE")
    return run(command) - start


def by_asyncpg(url: str) -> float:
    async def main() -> float:
        connection = await asyncpg.connect(url)
        try:
            begun = perf_counter()
            await connection.copy_records_to_table(
                "books", records=map(row, range(ROWS)), columns=COLUMNS
            )
            return perf_counter() - begun
        finally:
            await connection.close()

    empty(url)
    return anyio.run(main)


def by_psycopg(url: str) -> float:
    async def main() -> float:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            begun = perf_counter()
            async with connection.cursor() as cursor, cursor.copy(IN) as copy:
                for number in range(ROWS):
                    await copy.write_row(row(number))
            await connection.commit()
            return perf_counter() - begun

    empty(url)
    return anyio.run(main)


def main(runs: int) -> None:
    global DATA
    with postgres.database() as url, TemporaryDirectory() as folder:
        file = Path(folder, "books.tsv")
        DATA = "".join("\t".join(map(str, row(number))) + "\n" for number in range(ROWS)).encode()
        file.write_bytes(DATA)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "CREATE UNLOGGED TABLE books (id INTEGER, title TEXT, author TEXT, stock INTEGER)"
            )
        into: dict[str, Callable[[], float]] = {
            "psql": partial(by_psql, rf"\copy books from '{file}'", url),
        }
        for backend in ("asyncio", "trio"):
            into[f"file, {backend}"] = partial(by_covet, from_file, backend, url, file)
            into[f"bytes, {backend}"] = partial(by_covet, from_bytes, backend, url, file)
        report(
            f"{ROWS:,} rows into a table, {len(DATA) >> 20} MiB",
            interleaved(into, runs),
            [Comparison(f"{name} / psql", name, "psql", GOAL) for name in into if name != "psql"],
            unit="s",
            digits=2,
        )
        values: dict[str, Callable[[], float]] = {
            "covet asyncio": partial(by_covet, from_rows, "asyncio", url, file),
            "covet trio": partial(by_covet, from_rows, "trio", url, file),
            "asyncpg": partial(by_asyncpg, url),
            "psycopg": partial(by_psycopg, url),
        }
        report(
            f"{ROWS:,} rows of values",
            interleaved(values, max(3, runs // 2), warm_up=0),
            [
                Comparison("asyncio / psycopg", "covet asyncio", "psycopg", 1),
                Comparison("trio / psycopg", "covet trio", "psycopg", 1),
            ],
            unit="s",
            digits=2,
        )
        target = file.with_suffix(".psql")
        out: dict[str, Callable[[], float]] = {
            "psql": partial(by_psql, rf"\copy books to '{target}'", url, anew=False),
            "covet asyncio": partial(by_covet, to_file, "asyncio", url, file, anew=False),
            "covet trio": partial(by_covet, to_file, "trio", url, file, anew=False),
        }
        report(
            f"{ROWS:,} rows out of it",
            interleaved(out, runs),
            [
                Comparison("asyncio / psql", "covet asyncio", "psql", GOAL),
                Comparison("trio / psql", "covet trio", "psql", GOAL),
            ],
            unit="s",
            digits=2,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
