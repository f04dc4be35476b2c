"""Pages of lists: sorted, filtered, from cursors and offsets, in memory and by SQL alike."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from covet_operations import (
    CursorQuery,
    CursorSelection,
    Filter,
    Invalid,
    OffsetQuery,
    OffsetSelection,
    Page,
    Paging,
    Sort,
    SortBy,
)


class Book(BaseModel):
    id: int
    title: str
    price: int
    language: str | None = None


SORTS = SortBy("title", "price", "id", key="id", columns={"id": "books.id", "price": "cents"})


class BookQuery(CursorQuery[Book]):
    sort: Annotated[Sort, SORTS] = Sort("title")
    price_ge: Annotated[int | None, Filter("ge", "cents")] = None
    title_has: Annotated[str | None, Filter("contains", "title")] = None
    language: Annotated[list[str] | None, Filter("in")] = None
    unknown: Annotated[bool | None, Filter("null", "language")] = None
    ignored: str = ""


class OtherQuery(CursorQuery[Book]):
    sort: Annotated[Sort, SORTS] = Sort("title")


class Slice(OffsetQuery[Book]):
    limit: Annotated[int, Field(ge=1, le=7)] = 3
    sort: Annotated[Sort, SORTS] = Sort("id")
    price_lt: Annotated[int | None, Filter("lt", "price")] = None


PAGING = Paging()


@contextmanager
def shelf(books: list[Book]) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.row_factory = sqlite3.Row
        connection.execute(
            "CREATE TABLE books (id INTEGER, title TEXT, cents INTEGER, language TEXT)"
        )
        rows = [(book.id, book.title, book.price, book.language) for book in books]
        connection.executemany("INSERT INTO books VALUES (?, ?, ?, ?)", rows)
        yield connection
    finally:
        connection.close()


def by_sql(
    connection: sqlite3.Connection, chosen: CursorSelection[Book] | OffsetSelection[Book]
) -> Any:
    columns = "id, title, cents AS price, language"
    sql = f"SELECT {columns} FROM books WHERE {chosen.where} {chosen.tail}"
    return chosen.page([dict(row) for row in connection.execute(sql, chosen.values)])


books = st.lists(
    st.builds(
        Book,
        id=st.integers(0, 40),
        title=st.sampled_from(["", "Emma", "a'b", "100%", "x_y", "zoë", "\U0001f4d6"]),
        price=st.integers(0, 3),
        language=st.sampled_from(["en", "de", None]),
    ),
    max_size=14,
    unique_by=lambda book: book.id,
)
sorts = st.sampled_from(
    ["title", "-title", "price", "-price,title", "price,-title", "id", "-id", "title,id,price"]
)


def walk(query: BookQuery, page_of: Any) -> Iterator[Page[Book]]:
    """The pages from the first to the last."""
    while True:
        page = page_of(PAGING.select(query))
        yield page
        if page.next is None:
            return
        query = query.model_copy(update={"cursor": page.next})


@given(books, sorts, st.integers(1, 5))
def test_pages_are_the_sorted_list(items: list[Book], sort: str, limit: int) -> None:
    query = BookQuery(sort=Sort(sort), limit=limit)
    expected = list(items)
    for name, down in reversed([*query.sort.keys, ("id", query.sort.keys[-1][1])]):
        expected.sort(key=lambda book: getattr(book, name), reverse=down)
    in_memory = list(walk(query, lambda chosen: chosen.of(items)))
    assert [book for page in in_memory for book in page.items] == expected
    assert all(len(page.items) == limit for page in in_memory[:-1])
    assert in_memory[0].prev is None
    with shelf(items) as connection:
        by_database = list(walk(query, lambda chosen: by_sql(connection, chosen)))
        assert by_database == in_memory
        # And back again, from the last page to the first.
        pages = by_database[::-1]
        for later, page in pairwise(pages):
            assert later.prev is not None
            chosen = PAGING.select(query.model_copy(update={"cursor": later.prev}))
            assert by_sql(connection, chosen).items == page.items
            assert chosen.of(items).items == page.items
            assert (chosen.of(items).prev is None) == (page is pages[-1])


@given(
    books,
    st.none() | st.integers(0, 3),
    st.none() | st.sampled_from(["", "%", "_", "!", "'", "m", "oë"]),
    st.none() | st.lists(st.sampled_from(["en", "de", "fr"]), max_size=2),
    st.none() | st.booleans(),
)
def test_filters(
    items: list[Book],
    price: int | None,
    title: str | None,
    language: list[str] | None,
    unknown: bool | None,
) -> None:
    query = BookQuery(
        limit=100, price_ge=price, title_has=title, language=language, unknown=unknown
    )
    chosen = PAGING.select(query)
    stored = [{**book.model_dump(), "cents": book.price} for book in items]
    kept = [
        book
        for book in items
        if (price is None or book.price >= price)
        and (title is None or title in book.title)
        and (language is None or book.language in language)
        and (unknown is None or (book.language is None) == unknown)
    ]
    with shelf(items) as connection:
        found = by_sql(connection, chosen)
        count = f"SELECT count(*) FROM books WHERE {chosen.filters}"
        ((total,),) = connection.execute(count, chosen.filter_values)
    assert sorted(book.id for book in found.items) == sorted(book.id for book in kept)
    assert chosen.of(stored).items == found.items  # type: ignore[arg-type]
    assert total == len(kept)


@given(books, st.integers(0, 9), st.integers(1, 7), st.none() | st.integers(0, 3))
def test_offsets(items: list[Book], offset: int, limit: int, price: int | None) -> None:
    query = Slice(offset=offset, limit=limit, sort=Sort("-price"), price_lt=price)
    kept = [book for book in items if price is None or book.price < price]
    expected = sorted(kept, key=lambda book: (-book.price, -book.id))
    page = PAGING.select(query).of(items, count=True)
    assert page.items == expected[offset : offset + limit]
    assert page.total == len(expected)
    assert page.next == (offset + limit if offset + limit < len(expected) else None)
    assert page.prev == (max(0, offset - limit) if offset else None)
    if price is None:
        with shelf(items) as connection:
            assert by_sql(connection, PAGING.select(query)).items == page.items


def test_the_relations_of_pages() -> None:
    items = [Book(id=number, title="t", price=1) for number in range(10)]
    page = PAGING.select(Slice(offset=3)).of(items, count=True)
    assert page.relations() == {
        "next": {"offset": "6"},
        "prev": {"offset": "0"},
        "first": {"offset": None},
        "last": {"offset": "9"},
    }
    assert PAGING.select(Slice(offset=9)).of(items).relations().keys() == {"prev", "first"}
    first = PAGING.select(BookQuery(limit=4)).of(items)
    assert first.relations() == {"next": {"cursor": first.next}}
    second = PAGING.select(BookQuery(limit=4, cursor=first.next)).of(items)
    assert second.relations()["first"] == {"cursor": None}
    assert second.relations()["prev"] == {"cursor": second.prev}


def test_a_limit_over_the_configured_one_gets_that() -> None:
    items = [Book(id=number, title="t", price=1) for number in range(10)]
    assert len(Paging(max_limit=2).select(BookQuery(limit=9)).of(items).items) == 2


# Cursors.

ITEMS = [Book(id=number, title=f"t{number}", price=number) for number in range(5)]
NEXT = PAGING.select(BookQuery(limit=2)).of(ITEMS).next or ""


def refusal(cursor: str, paging: Paging = PAGING, kind: Any = BookQuery, **more: Any) -> str:
    with pytest.raises(Invalid) as caught:
        paging.select(kind(cursor=cursor, **more))
    (fault,) = caught.value.errors
    assert (fault["loc"], fault["type"]) == (["cursor"], "cursor_invalid")
    return str(fault["msg"])


def test_cursors_of_others() -> None:
    assert "order 'title'" in refusal(NEXT, sort=Sort("-title"))
    assert "no cursor of this list" in refusal(NEXT, kind=OtherQuery)
    assert "no cursor of this list" in refusal(NEXT, Paging(secret="s"))
    own = Paging(secret="s").select(BookQuery(limit=2)).of(ITEMS).next or ""
    assert "no cursor of this list" in refusal(own, Paging(secret="t"))
    again = Paging(secret="s").select(BookQuery(limit=2, cursor=own)).of(ITEMS)
    assert [book.id for book in again.items] == [2, 3]


@given(st.integers(0, len(NEXT) * 6 - 1))
def test_a_cursor_with_one_bit_changed(bit: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = bit // 6
    other = alphabet[alphabet.index(NEXT[at]) ^ (1 << bit % 6)]
    changed = f"{NEXT[:at]}{other}{NEXT[at + 1 :]}"
    if base64.urlsafe_b64decode(changed + "==") != base64.urlsafe_b64decode(NEXT + "=="):
        assert "no cursor" in refusal(changed)


@given(st.text(max_size=80) | st.text(alphabet="aA0-_=+/", max_size=80))
def test_what_is_no_cursor(text: str) -> None:
    assert "no cursor" in refusal(text)


# Whoever knows the code can sign cursors where there is no secret; no value gets through untyped.
@pytest.mark.parametrize(
    "content",
    [
        ["title", 0, [1, 1]], ["title", 0, ["a", "b"]], ["title", 0, ["a", None]],
        ["title", 0, ["a", [None]]], ["title", 0, ["a", []]], ["title", 0, ["a", {"x": 1}]],
        ["title", 0, ["a"]], ["title", 0, 7], ["title", 0, "ab"], ["title"], {}, 7, None,
        ["title", 0, ["a", True]], ["title", 0, ["a\0", 1]], b"[" * 2000, ["title", 0, ["\ud800", 1]], ["title", 0, ["a", [[1]]]], ["title", 0, ["a", 10**400]],
    ],
)  # fmt: skip
def test_forged_cursors(content: Any) -> None:
    chosen = PAGING.select(BookQuery())
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    tag = chosen._codec._tag(raw)
    text = base64.urlsafe_b64encode(tag + raw).rstrip(b"=").decode()
    assert "no cursor" in refusal(text)


class Event(BaseModel):
    id: UUID
    at: datetime
    day: date
    price: Decimal


class EventQuery(CursorQuery[Event]):
    sort: Annotated[Sort, SortBy("at", "day", "price", key="id")] = Sort("at")


EVENTS = [
    Event(
        id=UUID(int=number),
        at=datetime(2026, 1, 1 + number // 2, tzinfo=UTC),
        day=date(2026, 1, 1 + number // 3),
        price=Decimal(number % 3) / 10,
    )
    for number in range(12)
]


@pytest.mark.parametrize("sort", ["at", "-day", "price", "-price,at"])
def test_sort_keys_of_other_types(sort: str) -> None:
    query = EventQuery(sort=Sort(sort), limit=5)
    seen: list[Event] = []
    while True:
        page = PAGING.select(query).of(EVENTS)
        seen += page.items
        if page.next is None:
            break
        query = query.model_copy(update={"cursor": page.next})
    assert len(seen) == 12
    assert {event.id for event in seen} == {event.id for event in EVENTS}


def test_values_go_back_to_the_database_as_they_came() -> None:
    rows = [
        {"id": str(event.id), "at": event.at.isoformat(), "day": event.day, "price": event.price}
        for event in EVENTS
    ]
    first = PAGING.select(EventQuery(limit=2)).page(rows[:3])
    assert PAGING.select(EventQuery(limit=2, cursor=first.next)).values == {
        "page_limit": 3,
        "page_0": rows[1]["at"],
        "page_1": rows[1]["id"],
    }
    query = EventQuery(limit=2, sort=Sort("-day"))
    first = PAGING.select(query).page(rows[:3])
    again = PAGING.select(query.model_copy(update={"cursor": first.next}))
    assert again.values["page_0"] == EVENTS[1].day


def test_a_sort_key_that_no_cursor_holds() -> None:
    chosen = PAGING.select(BookQuery(limit=1))
    long = [Book(id=number, title="x" * 5000, price=1) for number in range(2)]
    with pytest.raises(ValueError, match="too long"):
        chosen.of(long)
    with pytest.raises(ValueError, match="no 'title' to sort by"):
        chosen.page([Book.model_construct(id=1, title=None, price=1)] * 2)


# Declarations.


@pytest.mark.parametrize("text", ["", "nope", "title,", "title,-title", "--title", "title; DROP"])
def test_orders_that_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        BookQuery.model_validate({"sort": text})


def test_the_schema_of_a_query() -> None:
    schema = TypeAdapter(BookQuery).json_schema()["properties"]
    assert schema["sort"]["pattern"] == "^-?(title|price|id)(,-?(title|price|id))*$"
    assert schema["sort"]["default"] == "title"
    assert (schema["limit"]["maximum"], schema["limit"]["default"]) == (100, 20)
    assert schema["price_ge"]["anyOf"][0] == {"type": "integer"}
    assert Page[Book].model_json_schema()["properties"]["items"]["type"] == "array"


@dataclass
class Plain:
    id: int
    title: str


def test_dataclasses_are_items_too() -> None:
    class PlainQuery(CursorQuery[Plain]):
        sort: Annotated[Sort, SortBy("title", key="id")] = Sort("-title")

    items = [Plain(number, "same") for number in range(3)]
    page = PAGING.select(PlainQuery(limit=2)).of(items)
    assert page.items == [Plain(2, "same"), Plain(1, "same")]


def test_queries_that_are_none() -> None:
    with pytest.raises(TypeError, match="has to be Annotated"):

        class Bare(CursorQuery[Book]):
            sort: str = "title"

    with pytest.raises(TypeError, match="does not say of what"):

        class OfNothing(CursorQuery):  # type: ignore[type-arg]
            sort: Annotated[Sort, SORTS] = Sort("title")

    with pytest.raises(TypeError, match="'language', which may be None"):

        class Nullable(CursorQuery[Book]):
            sort: Annotated[Sort, SortBy("language", key="id")] = Sort("language")

    with pytest.raises(TypeError, match="'isbn', which is no field"):

        class Unknown(CursorQuery[Book]):
            sort: Annotated[Sort, SortBy("isbn", key="id")] = Sort("isbn")

    with pytest.raises(ValueError, match="Should be names among"):

        class WrongDefault(CursorQuery[Book]):
            sort: Annotated[Sort, SORTS] = Sort("isbn")


@pytest.mark.parametrize(
    "make",
    [
        lambda: SortBy(key="id"),
        lambda: SortBy("a b", key="id"),
        lambda: SortBy("a", key="id", columns={"b": "b"}),
        lambda: SortBy("a", key="id", columns={"a": "a; DROP TABLE books"}),
        lambda: SortBy("a", key="id", columns={"a": '"a"b"'}),
        lambda: Filter("eq", "a = 1 OR 1"),
        lambda: Filter("matches"),  # type: ignore[arg-type]
    ],
)
def test_declarations_that_are_none(make: Any) -> None:
    with pytest.raises(ValueError, match=r"is no|is none of|nothing to sort by"):
        make()


def test_columns_may_be_qualified_and_quoted() -> None:
    sort = SortBy("a", key="id", columns={"a": 'shop."a b"', "id": "`books`.`id`"})
    assert sort.columns == {"a": 'shop."a b"', "id": "`books`.`id`"}
