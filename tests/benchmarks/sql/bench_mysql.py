"""One row by its key from MariaDB, 32 tasks at once, against the field's clients.

The table has 1,000 rows of four columns; each call fetches one of them as a dict. Everything runs
through public interfaces. What is measured is the client's CPU time: the server, on loopback, prepares
a statement once for covet and reads a text for each call of the others, which put the value into it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import aiomysql
import anyio
import asyncmy
import asyncmy.cursors
from benchmarks.measure import Comparison, cost_of_calls, interleaved, report
from services import mariadb

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql

CALLS = 3200
TASKS = 32
SIZE = 10
"""Connections of each pool."""

COLUMNS = "SELECT id, title, author, stock FROM books WHERE id = "
Read = Callable[[int], Awaitable[object]]
Opener = Callable[[str], AbstractAsyncContextManager[Read]]


def fill(url: str) -> None:
    """1,000 rows."""
    mariadb.run(
        url,
        "CREATE TABLE books (id INTEGER PRIMARY KEY, title VARCHAR(100), author VARCHAR(100),"
        " stock INTEGER)",
        "INSERT INTO books SELECT seq, concat('title ', seq), concat('author ', seq), 0"
        " FROM seq_0_to_999",
    )


@asynccontextmanager
async def covet(url: str) -> AsyncIterator[Read]:
    async with run_kernel({"mysql": Mysql}, {"mysql": {"url": url, "pool_size": SIZE}}) as kernel:
        db = kernel.require(SQL)

        async def read(key: int) -> object:
            return await db.fetch_one(COLUMNS + "?", (key,))

        yield read


@asynccontextmanager
async def by_aiomysql(url: str) -> AsyncIterator[Read]:
    parts = urlsplit(url)
    pool = await aiomysql.create_pool(
        host=parts.hostname,
        port=parts.port,
        user=parts.username,
        db=parts.path.strip("/"),
        minsize=SIZE,
        maxsize=SIZE,
        autocommit=True,
        cursorclass=aiomysql.DictCursor,
    )

    async def read(key: int) -> object:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(COLUMNS + "%s", (key,))
            return await cursor.fetchone()

    try:
        yield read
    finally:
        pool.close()
        await pool.wait_closed()


@asynccontextmanager
async def by_asyncmy(url: str) -> AsyncIterator[Read]:
    parts = urlsplit(url)
    pool = await asyncmy.create_pool(
        host=parts.hostname,
        port=parts.port,
        user=parts.username,
        db=parts.path.strip("/"),
        minsize=SIZE,
        maxsize=SIZE,
        autocommit=True,
    )

    async def read(key: int) -> object:
        async with (
            pool.acquire() as connection,
            connection.cursor(cursor=asyncmy.cursors.DictCursor) as cursor,
        ):
            await cursor.execute(COLUMNS + "%s", (key,))
            return await cursor.fetchone()

    try:
        yield read
    finally:
        pool.close()
        await pool.wait_closed()


def measure(open_one: Opener, backend: str, url: str) -> float:
    """Microseconds of CPU for each call."""

    async def main() -> float:
        async with open_one(url) as read:
            return await cost_of_calls(lambda number: read(number % 1000), calls=CALLS, tasks=TASKS)

    return anyio.run(main, backend=backend)


def test_against_the_field() -> None:
    with mariadb.database() as url:
        fill(url)
        rivals: dict[str, Callable[[], float]] = {
            "covet asyncio": partial(measure, covet, "asyncio", url),
            "covet trio": partial(measure, covet, "trio", url),
            "aiomysql": partial(measure, by_aiomysql, "asyncio", url),
            "asyncmy": partial(measure, by_asyncmy, "asyncio", url),
        }
        report(
            f"one row by key, {TASKS} tasks over {SIZE} connections, CPU of the client",
            interleaved(rivals, 9),
            [
                Comparison("asyncio / aiomysql", "covet asyncio", "aiomysql", 1.0),
                Comparison("asyncio / asyncmy", "covet asyncio", "asyncmy", 1.0),
                Comparison("trio / asyncmy", "covet trio", "asyncmy", 1.25),
            ],
            unit="us",
        )


if __name__ == "__main__":
    test_against_the_field()
