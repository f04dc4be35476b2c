"""The service that most tests are about, and the same schema for graphql-core to run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import anyio
from pydantic import BaseModel, Field

import covet_graphql as graphql
from covet_kernel.contracts import Call
from covet_operations import Conflict, NotFound, operation

ENDED: list[str] = []
STARTED: list[str] = []
LOADED: list[list[int]] = []


class Genre(Enum):
    """What a book is about."""

    SEA = "sea"
    LAND = "land"


@graphql.interface()
class Thing(BaseModel):
    """Anything on a shelf."""

    id: int
    title: str


@dataclass
class Author:
    id: int
    name: str
    born: date | None = None


@graphql.loader()
async def authors(ids: list[int]) -> list[Author | None]:
    LOADED.append(list(ids))
    await anyio.lowlevel.checkpoint()
    return [Author(id=each, name=f"Author {each}") if each < 90 else None for each in ids]


class Book(Thing):
    genre: Genre = Genre.SEA
    price_cents: int = 100
    tags: list[str] = []
    author_id: int = 1
    weight: float | None = None

    @graphql.field()
    def shout(self, times: Annotated[int, Field(ge=1, le=3)] = 1) -> str:
        """The title, louder."""
        return self.title.upper() * times

    @graphql.field()
    async def later(self, ticks: int = 1) -> str:
        for _ in range(ticks):
            await anyio.lowlevel.checkpoint()
        return self.title

    @graphql.field()
    def author(self, load: graphql.Load) -> graphql.Loading[Author | None]:
        return load(authors, self.author_id)

    @graphql.field()
    async def author_name(self, load: graphql.Load) -> str | None:
        found = await load(authors, self.author_id)
        return found.name if found else None

    @graphql.field()
    def broken(self) -> str:
        raise RuntimeError("the secret is 1234")

    @graphql.field()
    def maybe(self) -> str | None:
        raise NoSuchBook("there is none", book_id=self.id)


class Map(Thing):
    scale: Decimal = Decimal("1.50")


Found = Annotated[Book | Map, graphql.Union(name="Found")]


class NoSuchBook(NotFound):
    """There is no such book."""

    book_id: int


class SoldOut(Conflict):
    """It is sold out."""


class Line(BaseModel):
    book_id: int
    copies: Annotated[int, Field(ge=1)] = 1


@dataclass
class Order:
    lines: list[Line]
    note: str = ""
    moment: date = field(default_factory=lambda: date(2026, 11, 29))


@graphql.query()
async def books(count: Annotated[int, Field(ge=0, le=5000)] = 3) -> list[Book]:
    """All books."""
    return [Book(id=each, title=f"Book {each}", author_id=each % 3) for each in range(count)]


@operation(errors=(NoSuchBook,))
@graphql.query(nullable=True)
def book(id: graphql.ID) -> Book:
    if id == "0":
        raise NoSuchBook("there is no book 0", book_id=0)
    return Book(id=int(id), title="One", author_id=int(id))


@graphql.query()
def things() -> list[Thing]:
    return [Book(id=1, title="A"), Map(id=2, title="B")]


@graphql.query()
def found() -> list[Found | None]:
    return [Book(id=1, title="A"), None, Map(id=2, title="B")]


@operation(requires=("books:secret",))
@graphql.query(nullable=True)
def secret() -> str:
    return "told"


@graphql.query(nullable=True)
def who(call: graphql.FieldCall) -> str:
    return call.metadata("x-name") or ""


@graphql.query()
def named(call: Call) -> str | None:
    """What the caller shows."""
    shown = call.credentials()
    return f"{shown.scheme.title()} {shown.value}" if shown else None


@graphql.resolver(Author, nullable=True)
async def works(call: graphql.FieldCall, limit: int = 2) -> list[Book]:
    author = call.source_as(Author)
    return [Book(id=each, title=author.name, author_id=author.id) for each in range(limit)]


@graphql.query()
async def slow(seconds: float = 60) -> str:
    STARTED.append("slow")
    try:
        await anyio.sleep(seconds)
    finally:
        ENDED.append("slow")
    return "done"


@operation(errors=(SoldOut,))
@graphql.mutation()
async def place_order(lines: list[Line], note: str = "") -> Order:
    """Order books."""
    if any(each.copies > 9 for each in lines):
        raise SoldOut("so many are not there")
    return Order(lines=lines, note=note)


@graphql.mutation()
async def add_book(new: Line, genre: Genre = Genre.LAND) -> Book:
    return Book(id=new.book_id, title="new", genre=genre)


@graphql.mutation()
async def tick(call: Call) -> int:
    await anyio.lowlevel.checkpoint()
    TICKS.append(len(TICKS))
    return len(TICKS)


TICKS: list[int] = []


@graphql.subscription()
async def arrivals(count: int = 2, fail: bool = False, pause: float = 0.0) -> AsyncIterator[Book]:
    try:
        for each in range(count):
            yield Book(id=each, title=f"Book {each}", author_id=each)
            await anyio.sleep(pause)
        if fail:
            raise SoldOut("nothing arrives any more")
    finally:
        ENDED.append("arrivals")


ALL: tuple[Any, ...] = (
    books, book, things, found, secret, who, named, works, slow, place_order, add_book, tick, arrivals, authors,
)  # fmt: skip
