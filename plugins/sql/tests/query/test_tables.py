"""Tables from models: what a field says is what its column is, and what it keeps comes back."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import anyio
import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, NaiveDatetime

from covet_kernel.contracts import SQL, SqlError
from covet_kernel.testing import run_kernel
from covet_sql import Column
from covet_sql import query as q
from covet_sql.query._shape import bound
from covet_sqlite import Sqlite


class Binding(enum.Enum):
    HARD = "hardcover"
    SOFT = "paperback"


class Grade(enum.IntEnum):
    GOOD = 1
    POOR = 2


class Part(BaseModel):
    title: str = Field(alias="Title")
    pages: int


class Everything(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    yes: bool
    whole: int
    real: float
    text: Annotated[str, Field(max_length=40)] | None
    raw: bytes
    moment: datetime
    naive: NaiveDatetime
    day: date
    hour: time
    span: timedelta
    price: Annotated[Decimal, Field(max_digits=12, decimal_places=3)]
    key: UUID
    binding: Binding
    grade: Grade | None
    kind: Literal["new", "old"]
    tags: list[str]
    part: Part | None


everything = q.table(Everything, "everything")
ZONES = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
TIMES = st.datetimes(datetime(1901, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - hypothesis wants them so
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ROWS = st.builds(
    Everything,
    id=st.none(),
    yes=st.booleans(),
    whole=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(allow_nan=False, allow_infinity=False),
    text=st.none() | TEXTS,
    raw=st.binary(max_size=20),
    moment=st.datetimes(datetime(1901, 1, 2), datetime(2200, 1, 1), timezones=ZONES),  # noqa: DTZ001
    naive=TIMES,
    day=st.dates(date(1901, 1, 1)),
    hour=st.times(),
    span=st.timedeltas(timedelta(-10_000), timedelta(10_000)),
    price=st.decimals(-(10**8), 10**8, places=3),
    key=st.uuids(),
    binding=st.sampled_from(Binding),
    grade=st.none() | st.sampled_from(Grade),
    kind=st.sampled_from(["new", "old"]),
    tags=st.lists(TEXTS, max_size=3),
    part=st.none() | st.builds(Part, Title=TEXTS, pages=st.integers(0, 999)),
)


@given(rows=st.lists(ROWS, min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_type_comes_back_as_it_was(backend: str, rows: list[Everything]) -> None:
    async def main() -> None:
        async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
            db = kernel.require(SQL)
            for statement in q.ddl(everything, dialect="sqlite"):
                await db.execute(statement)
            await q.insert_many(db, everything, rows)
            order = q.select(everything).order_by(everything.c.id)
            found = await q.fetch_all(db, order)
            assert [each.model_copy(update={"id": None}) for each in found] == rows
            plain = await q.fetch_all(db, order, dict)
            assert [row["span"] for row in plain] == [each.span for each in rows]
            for row, each in zip(plain, rows, strict=True):
                for name in Everything.model_fields.keys() - {"id", "part"}:
                    assert row[name] == getattr(each, name), name
                    assert type(row[name]) is type(getattr(each, name)), name
            for name in Everything.model_fields.keys() - {"id", "tags", "part"}:
                column, value = everything.c[name], getattr(rows[0], name)
                same = column.is_(None) if value is None else column == value
                ids = await q.fetch_all(db, q.select(everything.c.id).where(same), int)
                assert ids, name

    anyio.run(main, backend=backend)


async def test_every_database_gives_every_type_back(open_db: Any) -> None:
    rows = [
        Everything(
            yes=True, whole=2**63 - 1, real=1e-300, text=None, raw=b"\0\xff", hour=time(23, 59, 59, 1),
            moment=datetime(2026, 3, 1, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=-7))),
            naive=datetime(1999, 12, 31, 23, 59, 59, 999_999), day=date(1970, 1, 1),  # noqa: DTZ001
            span=timedelta(days=-3, microseconds=7), price=Decimal("99999999.999"),
            key=UUID(int=2**127 + 1), binding=Binding.SOFT, grade=Grade.POOR, kind="old",
            tags=["'", "ä", '"\\'], part=Part(Title="x", pages=1),
        ),
        Everything(
            yes=False, whole=-(2**63), real=-0.1, text="':x?%s", raw=b"", hour=time(0), day=date(2200, 2, 28),
            moment=datetime(1970, 1, 1, tzinfo=UTC), naive=datetime(1970, 1, 1), span=timedelta(0),  # noqa: DTZ001
            price=Decimal("-0.001"), key=UUID(int=0), binding=Binding.HARD, grade=None, kind="new",
            tags=[], part=None,
        ),
    ]  # fmt: skip
    async with open_db(everything) as db:
        await q.insert_many(db, everything, rows)
        for each in rows:
            await q.execute(db, q.insert(everything, each))
        found = await q.fetch_all(db, q.select(everything).order_by(everything.c.id))
        assert [each.model_copy(update={"id": None}) for each in found] == rows * 2
        for row in await q.fetch_all(db, q.select(everything), dict):
            original = rows[(row["id"] - 1) % 2]
            for name in Everything.model_fields.keys() - {"id", "part"}:
                assert row[name] == getattr(original, name), name
        for name in Everything.model_fields.keys() - {"id", "text", "grade", "tags", "part"}:
            same = q.select(everything.c.id).where(everything.c[name] == getattr(rows[1], name))
            assert await q.fetch_all(db, same.order_by(everything.c.id), int) == [2, 4], name


async def test_moments_sort_by_time_whatever_their_zone(open_db: Any) -> None:
    early = datetime(2026, 3, 1, 12, 0, tzinfo=timezone(timedelta(hours=5)))
    late = datetime(2026, 3, 1, 8, 0, 0, 1, tzinfo=UTC)

    @dataclass
    class Event:
        at: Annotated[datetime, Column(primary_key=True)]

    events = q.table(Event, "events")
    async with open_db(events) as db:
        await q.insert_many(db, events, [Event(late), Event(early)])
        found = await q.fetch_all(db, q.select(events).order_by(events.c.at))
        assert [each.at for each in found] == [early, late]
        between = q.select(events).where(events.c.at > early)
        assert [each.at for each in await q.fetch_all(db, between)] == [late]
        with pytest.raises(SqlError, match="without a zone"):
            await q.execute(db, q.insert(events, Event(datetime(2026, 1, 1))))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("price", Decimal("NaN"), "not finite"),
        ("binding", "leather", "not a valid Binding"),
        ("tags", {1, object}, "bound"),
    ],
)
async def test_what_a_column_cannot_keep_is_refused(
    open_db: Any, name: str, value: Any, why: str
) -> None:
    async with open_db(everything) as db:
        with pytest.raises(SqlError, match=why) as caught:
            await q.execute(db, q.insert(everything, {name: value}))
        assert caught.value.sqlstate == "22000"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("price", Decimal("1.2345678901234567"), "15 digits"),
        ("key", 5, "cannot be bound"),
        ("day", "yesterday", "cannot be bound"),
    ],
)
def test_what_sqlite_would_not_keep_as_it_is_is_refused(name: str, value: Any, why: str) -> None:
    with pytest.raises(SqlError, match=why):
        bound(q.insert(everything, {name: value}), "sqlite")


class Author(BaseModel):
    name: Annotated[str, Column(primary_key=True), Field(max_length=50)]


class Book(BaseModel):
    id: Annotated[int | None, Column(primary_key=True)] = None
    isbn: Annotated[str, Column(unique=True, type=sa.CHAR(13))]
    author: Annotated[str, Column(references="authors.name", on_delete="CASCADE", index=True)]
    stock: int = 0
    note: str | None = None


def test_the_statements_that_make_tables() -> None:
    shared = q.MetaData()
    books = q.table(Book, "books", q.UniqueConstraint("isbn", "author"), metadata=shared)
    authors = q.table(Author, "authors", metadata=shared)
    for dialect, key in (("sqlite", "INTEGER"), ("postgresql", "BIGSERIAL"), ("mysql", "BIGINT")):
        first, second, index = q.ddl(books, authors, dialect=dialect)
        assert first.startswith("CREATE TABLE authors")
        assert f"id {key} NOT NULL" in second
        assert "isbn CHAR(13) NOT NULL" in second
        assert "stock" in second
        assert "note TEXT" in second
        assert "note TEXT NOT NULL" not in second
        assert "FOREIGN KEY(author) REFERENCES authors (name) ON DELETE CASCADE" in second
        assert "UNIQUE (isbn, author)" in second
        assert index == "CREATE INDEX ix_books_author ON books (author)"
    assert books.model is Book
    assert [column.nullable for column in books.c] == [False, False, False, False, True]


@dataclass
class Plain:
    id: Annotated[int, Column(primary_key=True)]
    tags: list[str] = field(default_factory=list)
    stock: int = 7


class Struct(msgspec.Struct, rename="camel"):
    id: Annotated[int, Column(primary_key=True)]
    tags: list[str] = msgspec.field(default_factory=list)
    in_stock: int = 7


@pytest.mark.parametrize("model", [Plain, Struct])
async def test_dataclasses_and_structs(open_db: Any, model: Any) -> None:
    table = q.table(model, "things")
    async with open_db(table) as db:
        rows = [model(1, ["a"]), model(2)]
        assert await q.insert_many(db, table, rows) == 2
        found = await q.fetch_all(db, q.select(table).order_by(table.c.id))
        assert found == rows
        assert await q.fetch_one(db, q.select(table)) == rows[0]
        assert [each async for each in q.stream(db, q.select(table))] == rows


async def test_columns_have_the_defaults_of_their_fields(open_db: Any) -> None:
    made: list[int] = []

    def count() -> list[str]:
        made.append(1)
        return [f"made {len(made)}"]

    class Thing(BaseModel):
        id: Annotated[int | None, Column(primary_key=True)] = None
        tags: list[str] = Field(default_factory=count)
        stock: int = 7

    things = q.table(Thing, "things")
    async with open_db(things) as db:
        statement = q.insert(things, {"id": 1})
        await q.execute(db, statement)
        await q.execute(db, q.insert(things, {"id": 2}))
        await q.insert_many(db, things, [{"id": 3}, {"id": 4}])
        found = await q.fetch_all(db, q.select(things).order_by(things.c.id))
        assert [each.tags for each in found] == [[f"made {n}"] for n in (1, 2, 3, 4)]
        assert {each.stock for each in found} == {7}


def test_what_is_no_table_is_refused() -> None:
    class Mixed(enum.Enum):
        A = 1
        B = "b"

    class Price(BaseModel):
        amount: Decimal

    class Odd(BaseModel):
        mixed: Mixed

    class Dependent(BaseModel):
        a: int
        b: int = Field(default_factory=lambda data: data["a"])

    for model, why in (
        (Price, "max_digits"),
        (Odd, "neither all text nor all numbers"),
        (Dependent, "depends on other fields"),
        (int, "no pydantic model, dataclass or msgspec struct"),
        (list[int], "is no class"),
    ):
        with pytest.raises(TypeError, match=why):
            q.table(model, "t")


async def test_defaults_that_are_expressions_are_a_part_of_the_statement(open_db: Any) -> None:
    other = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("a", sa.Integer, default=sa.select(sa.literal(5)).scalar_subquery()),
        sa.Column("b", sa.Integer),
    )
    async with open_db(other) as db:
        assert await q.execute(db, q.insert(other, {"b": 1})) == 1
        assert await q.fetch_all(db, q.select(other), tuple) == [(5, 1)]
