"""1,000 rows into models, and 20 updates in a transaction, against the field's clients.

The rows have six columns: numbers, texts, a decimal and a time. Each client makes pydantic models of them,
but for SQLAlchemy's ORM, whose models are its own mapped classes. The updates are by key, each a call of
its own, in one transaction. What is measured is the client's CPU time.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial
from time import process_time
from typing import Annotated

import anyio
import asyncpg
import psycopg
from benchmarks.measure import Comparison, interleaved, report
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, Field
from services import postgres
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres
from covet_sql import Column
from covet_sql import query as q

ROWS = 1000
FETCHES = 40
UPDATES = 20
TRANSACTIONS = 100
QUERY = "SELECT id, title, author, stock, price, added FROM books ORDER BY id"

Call = Callable[[], Awaitable[object]]
Opener = Callable[[str], AbstractAsyncContextManager[tuple[Call, Call]]]


class Book(BaseModel):
    id: Annotated[int, Column(primary_key=True)]
    title: str
    author: str
    stock: int
    price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]
    added: datetime


class Base(DeclarativeBase):
    pass


class MappedBook(Base):
    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author: Mapped[str]
    stock: Mapped[int]
    price: Mapped[Decimal]
    added: Mapped[datetime]


BOOKS = q.table(Book, "books", metadata=q.MetaData())


def fill(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT NOT NULL, author TEXT NOT NULL,"
            " stock INTEGER NOT NULL, price NUMERIC(8, 2) NOT NULL, added TIMESTAMPTZ NOT NULL)"
        )
        db.execute(
            "INSERT INTO books SELECT n, 'title ' || n, 'author ' || n, 0, n / 100.0, now()"
            f" FROM generate_series(1, {ROWS}) n"
        )
        db.execute("ANALYZE books")


@asynccontextmanager
async def covet(url: str) -> AsyncIterator[tuple[Call, Call]]:
    async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}) as kernel:
        db = kernel.require(SQL)
        everything = q.prepare(q.select(BOOKS).order_by(BOOKS.c.id))

        async def fetch() -> object:
            return await everything.fetch_all(db)

        async def change() -> None:
            async with db.transaction() as session:
                for key in range(1, UPDATES + 1):
                    await session.execute("UPDATE books SET stock = stock + 1 WHERE id = ?", (key,))

        yield fetch, change


@asynccontextmanager
async def by_asyncpg(url: str) -> AsyncIterator[tuple[Call, Call]]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1, command_timeout=30) as pool:

        async def fetch() -> object:
            return [Book.model_validate(dict(row)) for row in await pool.fetch(QUERY)]

        async def change() -> None:
            async with pool.acquire() as connection, connection.transaction():
                for key in range(1, UPDATES + 1):
                    await connection.execute(
                        "UPDATE books SET stock = stock + 1 WHERE id = $1", key
                    )

        yield fetch, change


@asynccontextmanager
async def by_psycopg(url: str) -> AsyncIterator[tuple[Call, Call]]:
    async with AsyncConnectionPool(url, min_size=1, max_size=1, open=False) as pool:

        async def fetch() -> object:
            async with pool.connection() as connection:
                cursor = await connection.execute(QUERY)
                names = [column.name for column in cursor.description or ()]
                return [
                    Book.model_validate(dict(zip(names, row, strict=True)))
                    for row in await cursor.fetchall()
                ]

        async def change() -> None:
            async with pool.connection() as connection:
                for key in range(1, UPDATES + 1):
                    await connection.execute(
                        "UPDATE books SET stock = stock + 1 WHERE id = %s", (key,)
                    )

        yield fetch, change


@asynccontextmanager
async def by_orm(url: str) -> AsyncIterator[tuple[Call, Call]]:
    engine = create_async_engine(
        url.replace("postgres://", "postgresql+asyncpg://"), pool_size=1, max_overflow=0
    )
    everything = select(MappedBook).order_by(MappedBook.id)

    async def fetch() -> object:
        async with AsyncSession(engine) as session:
            return (await session.scalars(everything)).all()

    async def change() -> None:
        async with AsyncSession(engine) as session, session.begin():
            for key in range(1, UPDATES + 1):
                await session.execute(
                    update(MappedBook)
                    .values(stock=MappedBook.stock + 1)
                    .where(MappedBook.id == key)
                    .execution_options(synchronize_session=False)
                )

    try:
        yield fetch, change
    finally:
        await engine.dispose()


def measure(which: int, open_one: Opener, backend: str, url: str) -> float:
    """Milliseconds of CPU for each call."""

    async def main() -> float:
        async with open_one(url) as calls:
            call = calls[which]
            many = TRANSACTIONS if which else FETCHES
            for _ in range(5):
                await call()
            begun = process_time()
            for _ in range(many):
                await call()
            return 1e3 * (process_time() - begun) / many

    return anyio.run(main, backend=backend)


RIVALS: dict[str, tuple[Opener, str]] = {
    "covet asyncio": (covet, "asyncio"),
    "covet trio": (covet, "trio"),
    "asyncpg": (by_asyncpg, "asyncio"),
    "psycopg": (by_psycopg, "asyncio"),
    "SQLAlchemy": (by_orm, "asyncio"),
}


def main(runs: int) -> None:
    with postgres.database() as url:
        fill(url)
        for which, subject, orm in (
            (0, f"{ROWS} rows into models", 0.67),
            (1, f"{UPDATES} updates in a transaction", 0.67),
        ):
            report(
                f"{subject}, CPU of the client",
                interleaved(
                    {
                        name: partial(measure, which, open_one, backend, url)
                        for name, (open_one, backend) in RIVALS.items()
                    },
                    runs,
                ),
                [
                    Comparison("asyncio / asyncpg", "covet asyncio", "asyncpg", 1),
                    Comparison("trio / asyncpg", "covet trio", "asyncpg", 1.25),
                    Comparison("asyncio / SQLAlchemy", "covet asyncio", "SQLAlchemy", orm),
                    Comparison("trio / SQLAlchemy", "covet trio", "SQLAlchemy", orm),
                ],
                unit="ms",
                digits=2,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
