"""The service of the benchmark on covet."""

from __future__ import annotations

from dataclasses import dataclass

import covet_graphql as graphql


@dataclass
class Book:
    id: int
    title: str
    price: float
    stock: int
    isbn: str


SHELF = [Book(each, f"Book {each}", each * 1.5, each % 7, f"{each:013}") for each in range(1000)]


@graphql.query()
async def book(id: int) -> Book | None:
    """One book."""
    return SHELF[id] if id < len(SHELF) else None


@graphql.query()
async def books(first: int = 10) -> list[Book]:
    """The first books."""
    return SHELF[:first]
