"""The bookshop's search in FastAPI, uvicorn and asyncpg, on the tables that the bookshop has made.

The same statements, the same validation and the same answers.

    BOOKSHOP_DATABASE=postgres://... uvicorn main:app
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, FastAPI, Query, Request
from pydantic import BaseModel, StringConstraints

SHELF = "FROM books JOIN authors ON authors.id = author_id"
PAGE = f"""
    SELECT books.id, title, author_id, name AS author, published, language, price_cents, stock,
        count(*) OVER () AS total
    {SHELF}
"""
MATCHING = "WHERE books.words @@ to_tsquery('simple', $1)"
Search = Annotated[str, StringConstraints(max_length=100, pattern=r"^\P{Cc}*$")]


class Book(BaseModel):
    id: int
    title: str
    author_id: int
    author: str
    published: int
    language: str
    price_cents: int
    stock: int


class BookPage(BaseModel):
    total: int
    books: list[Book]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["BOOKSHOP_DATABASE"]
    async with asyncpg.create_pool(url, min_size=10, max_size=10, command_timeout=30) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def connection(request: Request) -> AsyncIterator[Any]:
    async with request.app.state.pool.acquire() as one:
        yield one


@app.get("/books")
async def find_books(
    db: Annotated[Any, Depends(connection)],
    q: Search = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> BookPage:
    words = " & ".join(f"'{word}':*" for word in re.findall(r"[^\W_]+", q.lower()))
    if q and not words:
        return BookPage(total=0, books=[])
    where, values = (MATCHING, [words]) if words else ("", [])
    place = f"LIMIT ${len(values) + 1} OFFSET ${len(values) + 2}"
    rows = await db.fetch(f"{PAGE} {where} ORDER BY books.id {place}", *values, limit, offset)
    if rows or not offset:
        total = rows[0]["total"] if rows else 0
    else:
        total = await db.fetchval(f"SELECT count(*) {SHELF} {where}", *values)
    return BookPage.model_validate({"total": total, "books": [dict(row) for row in rows]})
