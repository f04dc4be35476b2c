"""One row by its key from PostgreSQL, 32 tasks at once, against the field's clients.

The table has 1,000 rows of four columns; each call fetches one of them as a dict. Everything runs
through public interfaces with its limit of time for a statement on. What is measured is the client's
CPU time: the server, on loopback, has the same work with all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from statistics import median

import anyio
import asyncpg
import psycopg
import psycopg_pool
from benchmarks.measure import Comparison, cost_of_calls, interleaved, report
from psycopg.rows import dict_row
from services import postgres
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres

CALLS = 3200
TASKS = 32
LIMIT = 30.0
"""Seconds for one statement."""

COLUMNS = "SELECT id, title, author, stock FROM books WHERE id = "
Read = Callable[[int], Awaitable[object]]
Opener = Callable[[str], AbstractAsyncContextManager[Read]]


def fill(url: str) -> None:
    """1,000 rows."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT, author TEXT, stock INTEGER)"
        )
        db.execute(
            "INSERT INTO books SELECT n, 'title ' || n, 'author ' || n, 0 FROM generate_series(0, 999) n"
        )
        db.execute("ANALYZE books")


@asynccontextmanager
async def covet(url: str) -> AsyncIterator[Read]:
    config = {"postgres": {"url": url, "statement_timeout": LIMIT}}
    async with run_kernel({"postgres": Postgres}, config) as kernel:
        db = kernel.require(SQL)

        async def read(key: int) -> object:
            return await db.fetch_one(COLUMNS + "?", (key,))

        yield read


async def leave(connection: object) -> None:
    """In place of the statement with which asyncpg's pool resets a connection after each call."""


@asynccontextmanager
async def by_asyncpg(url: str, *, size: int, reset: bool) -> AsyncIterator[Read]:
    async with asyncpg.create_pool(
        url,
        min_size=size,
        max_size=size,
        command_timeout=LIMIT,
        reset=None if reset else leave,
    ) as pool:

        async def read(key: int) -> object:
            return dict(await pool.fetchrow(COLUMNS + "$1", key))

        yield read


@asynccontextmanager
async def by_psycopg(url: str) -> AsyncIterator[Read]:
    async with psycopg_pool.AsyncConnectionPool(
        url,
        min_size=16,
        max_size=16,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "options": f"-c statement_timeout={int(LIMIT * 1000)}",
        },
        open=False,
    ) as pool:

        async def read(key: int) -> object:
            async with pool.connection() as connection:
                cursor = await connection.execute(COLUMNS + "%s", (key,))
                return await cursor.fetchone()

        yield read


@asynccontextmanager
async def by_sqlalchemy(url: str) -> AsyncIterator[Read]:
    engine = create_async_engine(
        url.replace("postgres://", "postgresql+asyncpg://"),
        pool_size=16,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
        connect_args={"command_timeout": LIMIT},
    )
    statement = text(COLUMNS + ":key")

    async def read(key: int) -> object:
        async with engine.connect() as connection:
            row = (await connection.execute(statement, {"key": key})).mappings().first()
            return dict(row) if row is not None else None

    try:
        yield read
    finally:
        await engine.dispose()


def measure(open_one: Opener, backend: str, url: str) -> float:
    """Microseconds of CPU for each call."""

    async def main() -> float:
        async with open_one(url) as read:
            return await cost_of_calls(lambda number: read(number % 1000), calls=CALLS, tasks=TASKS)

    return anyio.run(main, backend=backend)


def best_pool(url: str) -> int:
    """The size with which asyncpg's pool takes the least."""
    sizes = {
        str(size): partial(measure, partial(by_asyncpg, size=size, reset=False), "asyncio", url)
        for size in (4, 8, 16, 32)
    }
    samples = interleaved(sizes, 3)
    return int(min(samples, key=lambda size: median(samples[size])))


def test_against_the_field() -> None:
    with postgres.database() as url:
        fill(url)
        size = best_pool(url)
        rivals: dict[str, Callable[[], float]] = {
            "covet asyncio": partial(measure, covet, "asyncio", url),
            "covet trio": partial(measure, covet, "trio", url),
            "asyncpg": partial(measure, partial(by_asyncpg, size=size, reset=True), "asyncio", url),
            "asyncpg, never reset": partial(
                measure, partial(by_asyncpg, size=size, reset=False), "asyncio", url
            ),
            "psycopg pool": partial(measure, by_psycopg, "asyncio", url),
            "SQLAlchemy": partial(measure, by_sqlalchemy, "asyncio", url),
        }
        report(
            f"one row by key, {TASKS} tasks, CPU of the client; asyncpg with {size} connections",
            interleaved(rivals, 9),
            [
                Comparison("asyncio / asyncpg", "covet asyncio", "asyncpg, never reset", 1.1),
                Comparison("trio / asyncpg", "covet trio", "asyncpg, never reset", 1.25),
                Comparison("asyncio / psycopg pool", "covet asyncio", "psycopg pool", 1 / 2),
                Comparison("trio / psycopg pool", "covet trio", "psycopg pool", 1 / 2),
                Comparison("asyncio / SQLAlchemy", "covet asyncio", "SQLAlchemy", 1 / 3),
                Comparison("trio / SQLAlchemy", "covet trio", "SQLAlchemy", 1 / 3),
            ],
            unit="us",
        )


if __name__ == "__main__":
    test_against_the_field()
