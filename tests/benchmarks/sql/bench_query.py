"""What an expression costs above plain SQL, and rows into models, against SQLAlchemy's own ways.

Processor time, not the clock: nothing here waits for anything but the processor. Statements "built
anew" are made of their parts for each run, as in a handler with conditions of its own; "kept" ones are
one object. SQLAlchemy's own way is ``Connection.execute`` with its cache of compiled statements, less
what the same connection takes for the same text through its driver.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the same loop for both sides, with nothing of ours in between
import sqlite3
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Annotated, Any

import sqlalchemy as sa
from benchmarks.measure import Comparison, interleaved, report
from pydantic import BaseModel, TypeAdapter
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from covet_kernel.contracts import Params, Row
from covet_sql import Column
from covet_sql import query as q

CALLS = 2_000
BATCH = 100
ROWS = 1_000
READS = 10


class Book(BaseModel):
    id: Annotated[int, Column(primary_key=True)]
    title: str
    author: str
    stock: int
    price: float


class Base(DeclarativeBase):
    pass


class OrmBook(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author: Mapped[str]
    stock: Mapped[int]
    price: Mapped[float]


books = q.table(Book, "books")
TEXT = (
    "SELECT books.id, books.title, books.author, books.stock, books.price FROM books"
    " WHERE books.price < :price AND books.author = :author ORDER BY books.title LIMIT :many"
)
KEPT = (
    q.select(books)
    .where(books.c.price < q.param("price"), books.c.author == q.param("author"))
    .order_by(books.c.title)
    .limit(q.param("many"))
)
PREPARED = q.prepare(KEPT)
VALUES = {"price": 5.0, "author": "a", "many": 3}


class NoDatabase:
    """A session that answers at once, so that only what is in front of it is measured."""

    dialect = "sqlite"

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return self.rows

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)


def built() -> Any:
    return (
        q.select(books)
        .where(books.c.price < 5.0, books.c.author == "a")
        .order_by(books.c.title)
        .limit(3)
    )


def each(work: Callable[[int], Any], calls: int = CALLS) -> float:
    """Microseconds of processor time per call."""
    begun = process_time()
    for number in range(calls):
        work(number)
    return 1e6 * (process_time() - begun) / calls


def awaited(run: Callable[[int], Any], calls: int = CALLS) -> float:
    """The same for coroutines, none of which waits."""

    async def main() -> float:
        begun = process_time()
        for number in range(calls):
            await run(number)
        return 1e6 * (process_time() - begun) / calls

    return asyncio.run(main())


def statements() -> None:
    """Microseconds in front of the database."""
    nobody: Any = NoDatabase([])
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    connection = engine.connect()
    raw = connection.connection.driver_connection
    assert raw is not None
    sqlalchemy_kept = (
        sa.select(OrmBook.__table__)
        .where(OrmBook.price < sa.bindparam("price"), OrmBook.author == sa.bindparam("author"))
        .order_by(OrmBook.title)
        .limit(sa.bindparam("many"))
    )

    def anew() -> float:
        # What is measured is the way to the cache, not the building, which is SQLAlchemy's; few at
        # once, lest it measures the garbage collector.
        total = 0.0
        for _ in range(CALLS // BATCH):
            batch = [built() for _ in range(BATCH)]
            total += awaited(lambda number, made=batch: q.fetch_all(nobody, made[number]), BATCH)
        return total / (CALLS // BATCH)

    samples = interleaved(
        {
            "plain text": lambda: awaited(lambda _: q.fetch_all(nobody, TEXT, Book, **VALUES)),
            "expression, kept": lambda: awaited(lambda _: q.fetch_all(nobody, KEPT, **VALUES)),
            "expression, prepared": lambda: awaited(lambda _: PREPARED.fetch_all(nobody, **VALUES)),
            "expression, built anew": anew,
            "prepared, binding alone": lambda: each(lambda _: PREPARED.bind("sqlite", **VALUES)),
            "building alone": lambda: each(lambda _: built()),
            "sqlite3, text": lambda: each(lambda _: raw.execute(TEXT, VALUES).fetchall()),
            "SQLAlchemy, kept": lambda: each(
                lambda _: connection.execute(sqlalchemy_kept, VALUES).fetchall()
            ),
        },
        15,
    )
    plain = median(samples["plain text"])
    theirs = median(samples["SQLAlchemy, kept"]) - median(samples["sqlite3, text"])
    report(
        "a statement with three values, without the database",
        samples,
        [],
        unit="us",
        digits=2,
    )
    for name in ("kept", "prepared", "built anew"):
        above = median(samples[f"expression, {name}"]) - plain
        print(
            f"  {name}: {above:.2f} us above plain text (goal at most 15);"
            f" SQLAlchemy's own {theirs:.2f} us above sqlite3: {above / theirs:.2f} of it"
        )
    connection.close()
    engine.dispose()


def rows_into_models() -> None:
    """Microseconds for 1,000 rows."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    data = [
        {"id": n, "title": f"title {n}", "author": f"a{n % 9}", "stock": n, "price": n / 4}
        for n in range(ROWS)
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(OrmBook.__table__), data)
    raw = engine.raw_connection().driver_connection
    assert isinstance(raw, sqlite3.Connection)
    statement, adapter = q.prepare(q.select(books)), TypeAdapter(list[Book])
    text, _ = statement.bind("sqlite")

    def from_driver() -> list[Row]:
        cursor = raw.execute(text)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    class Sqlite3:
        dialect = "sqlite"

        async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
            return from_driver()

    session: Any = Sqlite3()
    nobody: Any = NoDatabase([dict(row) for row in data])

    def covet(source: Any) -> Callable[[], float]:
        async def main() -> float:
            begun = process_time()
            for _ in range(READS):
                assert len(await statement.fetch_all(source)) == ROWS
            return 1e6 * (process_time() - begun) / READS

        return lambda: asyncio.run(main())

    def orm(_: int) -> None:
        with Session(engine) as orm_session:
            assert len(orm_session.scalars(sa.select(OrmBook)).all()) == ROWS

    report(
        f"{ROWS} rows into models",
        interleaved(
            {
                "pydantic alone": lambda: each(
                    lambda _: adapter.validate_python(nobody.rows), READS
                ),
                "covet, rows given": covet(nobody),
                "sqlite3 + pydantic": lambda: each(
                    lambda _: adapter.validate_python(from_driver()), READS
                ),
                "sqlite3 + covet": covet(session),
                "SQLAlchemy ORM": lambda: each(orm, READS),
            },
            25,
        ),
        [
            Comparison("covet / pydantic alone", "covet, rows given", "pydantic alone", 1.1),
            Comparison("with sqlite3", "sqlite3 + covet", "sqlite3 + pydantic", 1.1),
            Comparison("covet / SQLAlchemy ORM", "sqlite3 + covet", "SQLAlchemy ORM", 0.67),
        ],
        unit="us",
    )
    raw.close()
    engine.dispose()


if __name__ == "__main__":
    statements()
    rows_into_models()
