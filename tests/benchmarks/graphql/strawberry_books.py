"""The same on Strawberry in FastAPI."""

from __future__ import annotations

import strawberry
from fastapi import FastAPI
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


app = FastAPI()
app.include_router(GraphQLRouter(strawberry.Schema(Query)), prefix="/graphql")
