"""What a query returns, as type checkers see it, is what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, assert_type

from pydantic import BaseModel

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_operations import CursorQuery, Paging, Sort, SortBy
from covet_sql import Column
from covet_sql import query as q
from covet_sqlite import Sqlite


class Book(BaseModel):
    id: Annotated[int, Column(primary_key=True)]
    title: str


@dataclass
class Title:
    title: str


class Listing(CursorQuery[Book]):
    sort: Annotated[Sort, SortBy("title", key="id")] = Sort("title")


books = q.table(Book, "books")


async def test_the_class_that_is_given_is_the_class_that_comes_back() -> None:
    async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
        db = kernel.require(SQL)
        for text in q.ddl(books, dialect=db.dialect):
            await db.execute(text)
        await q.insert_many(db, books, [{"title": "Emma"}])
        emma = Book(id=1, title="Emma")
        statement = q.select(books).where(books.c.title == "Emma").order_by(books.c.id)

        models = await q.fetch_all(db, statement)
        assert_type(models, list[Book])
        assert models == [emma]
        one = await q.fetch_one(db, statement)
        assert_type(one, Book | None)
        assert one == emma
        titles = await q.fetch_all(db, statement, Title)
        assert_type(titles, list[Title])
        assert titles == [Title("Emma")]
        pairs = await q.fetch_all(db, q.select(books.c.id, books.c.title), tuple[int, str])
        assert_type(pairs, list[tuple[int, str]])
        assert pairs == [(1, "Emma")]
        rows = await q.fetch_all(db, q.select(books.c.id))
        assert_type(rows, list[dict[str, Any]])
        assert rows == [{"id": 1}]
        plain = await q.fetch_all(db, "SELECT title FROM books", Title)
        assert_type(plain, list[Title])
        assert plain == titles
        many = await q.fetch_value(db, q.count(q.select(books)), int)
        assert_type(many, int | None)
        assert many == 1
        async for each in q.stream(db, statement):
            assert_type(each, Book)
            assert each == emma
        page = q.page(q.select(books), Paging().select(Listing()))
        assert_type(page, q.Select[Book])
        assert await q.fetch_all(db, page) == [emma]
        prepared = q.prepare(statement)
        assert_type(prepared, q.Prepared[Book])
        assert await prepared.fetch_all(db) == [emma]
