"""What goes in and out. Constraints stand here once and hold on every protocol."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"
Search = Annotated[str, StringConstraints(max_length=100, pattern=NO_CONTROLS)]
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NO_CONTROLS),
]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
Year = Annotated[int, Field(ge=1, le=2100)]
Cents = Annotated[int, Field(ge=0, le=1_000_000)]
Copies = Annotated[int, Field(ge=0, le=10_000)]


class Input(BaseModel):
    """Strict: no unknown keys, and neither ``"2"`` nor ``true`` is a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewBook(Input):
    title: Text
    author: Text
    published: Year
    language: Language
    price_cents: Cents
    stock: Copies = 0


class BookChange(Input):
    """What is left out stays as it is."""

    price_cents: Cents | None = None
    stock: Copies | None = None


class Wanted(Input):
    book_id: Id
    quantity: Annotated[int, Field(ge=1, le=100)]


class Title(BaseModel):
    """What every version of the API says of a book."""

    id: int
    title: str
    author_id: int
    author: str
    published: int
    language: str
    price_cents: int


class Book(Title):
    stock: int


class BookPage(BaseModel):
    """One page of a search, and how many books it found in all."""

    total: int
    books: list[Book]


class Author(BaseModel):
    """Years are absent where the shop does not know them."""

    id: int
    name: str
    born: int | None
    died: int | None
    books: list[Book]


class OrderLine(BaseModel):
    """The price is the one of the day of the order."""

    book_id: int
    title: str
    quantity: int
    price_cents: int


class Order(BaseModel):
    id: int
    placed_at: datetime
    total_cents: int
    lines: list[OrderLine]


class Sold(BaseModel):
    """How many orders had this book, and how many copies."""

    book_id: int
    title: str
    orders: int
    copies: int


class Bestsellers(BaseModel):
    books: list[Sold]


class StockChange(BaseModel):
    """How many copies are left now."""

    book_id: int
    title: str
    stock: int
