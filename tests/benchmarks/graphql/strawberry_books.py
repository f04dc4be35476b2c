"""The same on Strawberry in FastAPI: as fast as it goes, and as it comes."""

from __future__ import annotations

import strawberry
from fastapi import FastAPI
from pydantic_core import to_json
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.fastapi import GraphQLRouter


@strawberry.type
class Book:
    id: int
    title: str
    price: float
    stock: int
    isbn: str


SHELF = [Book(id=each, title=f"Book {each}", price=each * 1.5, stock=each % 7, isbn=f"{each:013}") for each in range(1000)]  # fmt: skip


@strawberry.type
class Query:
    @strawberry.field
    async def book(self, id: int) -> Book | None:
        return SHELF[id] if id < len(SHELF) else None

    @strawberry.field
    async def books(self, first: int = 10) -> list[Book]:
        return SHELF[:first]


class Router(GraphQLRouter):
    """Writes answers with what covet writes them with."""

    def encode_json(self, data: object) -> bytes:
        return to_json(data)


def _application(router: GraphQLRouter) -> FastAPI:
    made = FastAPI()
    made.include_router(router, prefix="/graphql")
    return made


# Documents are read and validated once, as covet does.
_CACHES = [ParserCache(maxsize=500), ValidationCache(maxsize=500)]
fast = _application(Router(strawberry.Schema(Query, extensions=_CACHES)))
plain = _application(GraphQLRouter(strawberry.Schema(Query)))
