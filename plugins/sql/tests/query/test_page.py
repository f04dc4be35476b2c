"""What callers filter and sort by goes through the lists of covet-operations, into expressions."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, Field, ValidationError

from covet_operations import CursorQuery, Filter, OffsetQuery, Paging, Sort, SortBy
from covet_sql import Column
from covet_sql import query as q
from covet_sql.query._shape import bound


class Book(BaseModel):
    id: Annotated[int, Column(primary_key=True)]
    title: str
    price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]
    added: datetime


class Cursors(CursorQuery[Book]):
    sort: Annotated[Sort, SortBy("title", "price", key="id", columns={"id": "books.id"})] = Sort(
        "title"
    )
    price_ge: Annotated[Decimal | None, Filter("ge", "price")] = None
    since: Annotated[datetime | None, Filter("ge", "books.added")] = None
    title: Annotated[str | None, Filter("contains")] = None
    ids: Annotated[list[int] | None, Filter("in", "id")] = None


class Offsets(OffsetQuery[Book]):
    sort: Annotated[Sort, SortBy("title", "price", key="id")] = Sort("-price")
    price_ge: Annotated[Decimal | None, Filter("ge", "price")] = None


books = q.table(Book, "books")
BOOKS = [
    Book(
        id=n,
        title=f"{n % 4} %_':?",
        price=Decimal(n) / 2,
        added=datetime(2026, 1, 1 + n, tzinfo=UTC),
    )
    for n in range(11)
]


@pytest.mark.parametrize("sort", ["title", "-price", "-title,price"])
async def test_pages_until_the_last(open_db: Any, sort: str) -> None:
    paging = Paging(secret="s")
    async with open_db(books) as db:
        await q.insert_many(db, books, BOOKS)
        seen: list[Book] = []
        cursor = None
        while True:
            query = Cursors(sort=Sort(sort), limit=3, cursor=cursor, price_ge=Decimal(1))
            selection = paging.select(query)
            rows = await q.fetch_all(db, q.page(q.select(books), selection))
            total = await q.fetch_value(db, q.count(q.filtered(q.select(books), selection)), int)
            page = selection.page(rows, total)
            assert page.total == 9
            seen += page.items
            if (cursor := page.next) is None:
                break
        assert (
            seen
            == paging.select(Cursors(sort=Sort(sort), limit=100, price_ge=Decimal(1)))
            .of(BOOKS)
            .items
        )


async def test_filters_and_offsets(open_db: Any) -> None:
    paging = Paging()
    async with open_db(books) as db:
        await q.insert_many(db, books, BOOKS)
        for query in (
            Cursors(since=datetime(2026, 1, 9, tzinfo=UTC)),
            Cursors(title="%_':?", ids=[1, 2, 99]),
            Cursors(ids=[]),
        ):
            selection = paging.select(query)
            rows = await q.fetch_all(db, q.page(q.select(books), selection))
            assert rows == selection.of(BOOKS).items
        offset = paging.select(Offsets(offset=4, limit=3, price_ge=Decimal(1)))
        few = q.select(books).where(books.c.id < 9)
        found = await q.fetch_all(db, q.page(few, offset))
        assert [each.id for each in found] == [4, 3, 2]
        assert offset.page(found).next is None


def test_what_is_not_allowed_does_not_reach_a_statement() -> None:
    for sort in ("stock", "title;DROP TABLE books", "title,title", ""):
        with pytest.raises(ValidationError):
            Cursors(sort=Sort(sort))
    selection = Paging().select(Cursors())
    for statement in (q.select(books).order_by(books.c.id), q.select(books).limit(3)):
        with pytest.raises(ValueError, match="the order and the limit"):
            q.page(statement, selection)


def test_columns_in_quotes_may_have_colons() -> None:
    class Odd(OffsetQuery[Book]):
        sort: Annotated[Sort, SortBy("title", key="id", columns={"title": '"a :b"'})] = Sort(
            "title"
        )
        wanted: Annotated[str | None, Filter("eq", '"a :b"')] = None

    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("a :b", sa.Text))
    selection = Paging().select(Odd(wanted=":x"))
    text, values = bound(q.page(q.select(table), selection), "sqlite").values({})
    assert text.count('"a :b"') >= 3
    assert ":x" in values.values()


def test_one_shape_of_page_is_compiled_once() -> None:
    from covet_sql._cache import STATEMENTS

    paging = Paging()
    STATEMENTS.clear()
    before = STATEMENTS.misses
    for number in range(5):
        selection = paging.select(Cursors(price_ge=Decimal(number), limit=number + 1))
        bound(q.page(q.select(books), selection), "sqlite")
    assert STATEMENTS.misses == before + 1
