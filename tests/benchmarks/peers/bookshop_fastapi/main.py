"""The bookshop of ``docs/examples/bookshop`` in FastAPI, uvicorn and aiosqlite: the peer it is measured with.

Same tables, same stock, same routes, same validation and same answers; ``tests/e2e`` compares them.
A connection per request is what FastAPI's dependencies and aiosqlite's documentation lead to.

    BOOKSHOP_DATABASE=bookshop.db BOOKSHOP_CATALOGUE=books.csv uvicorn main:app
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated, Any

import aiosqlite
from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

DATABASE = os.environ.get("BOOKSHOP_DATABASE", "bookshop.db")
CATALOGUE = FilePath(os.environ.get("BOOKSHOP_CATALOGUE", "books.csv"))

SCHEMA = """
    CREATE TABLE IF NOT EXISTS authors (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        born INTEGER,
        died INTEGER
    );
    CREATE TABLE IF NOT EXISTS books (
        id INTEGER PRIMARY KEY,
        title TEXT NOT NULL,
        author_id INTEGER NOT NULL REFERENCES authors,
        published INTEGER NOT NULL,
        language TEXT NOT NULL,
        price_cents INTEGER NOT NULL CHECK (price_cents >= 0),
        stock INTEGER NOT NULL CHECK (stock >= 0),
        UNIQUE (author_id, title)
    );
    CREATE TABLE IF NOT EXISTS orders (
        id INTEGER PRIMARY KEY,
        placed_at TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS order_lines (
        order_id INTEGER NOT NULL REFERENCES orders,
        book_id INTEGER NOT NULL REFERENCES books,
        quantity INTEGER NOT NULL CHECK (quantity > 0),
        price_cents INTEGER NOT NULL,
        PRIMARY KEY (order_id, book_id)
    );
"""
SHELF = "FROM books JOIN authors ON authors.id = author_id"
BOOKS = f"""
    SELECT books.id, title, author_id, name AS author, published, language, price_cents, stock
    {SHELF}
"""
MATCHING = r"title LIKE :pattern ESCAPE '\' OR name LIKE :pattern ESCAPE '\'"

Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
PathId = Annotated[int, Path(ge=1, le=2**63 - 1)]
NO_CONTROLS = r"^\P{Cc}*$"
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=NO_CONTROLS),
]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
Year = Annotated[int, Field(ge=1, le=2100)]
Cents = Annotated[int, Field(ge=0, le=1_000_000)]
Copies = Annotated[int, Field(ge=0, le=10_000)]


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewBook(Input):
    title: Text
    author: Text
    published: Year
    language: Language
    price_cents: Cents
    stock: Copies = 0


class BookChange(Input):
    price_cents: Cents | None = None
    stock: Copies | None = None


class Wanted(Input):
    book_id: Id
    quantity: Annotated[int, Field(ge=1, le=100)]


class NewOrder(Input):
    lines: Annotated[list[Wanted], Field(min_length=1, max_length=50)]


class Entry(BaseModel):
    title: Text
    author: Text
    born: Year
    died: Year
    published: Year
    language: Language
    price_cents: Cents
    stock: Copies


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


class Author(BaseModel):
    id: int
    name: str
    born: int | None
    died: int | None
    books: list[Book]


class OrderLine(BaseModel):
    book_id: int
    title: str
    quantity: int
    price_cents: int


class Order(BaseModel):
    id: int
    placed_at: datetime
    total_cents: int
    lines: list[OrderLine]


class Problem(Exception):
    def __init__(self, status: int, code: str, title: str, detail: str, **fields: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.content = {
            **fields,
            "type": f"/problems/{code}",
            "title": title,
            "status": status,
            "code": code,
            "detail": detail,
        }


@asynccontextmanager
async def connect() -> AsyncIterator[aiosqlite.Connection]:
    # Transactions are begun by hand: the module's own begin too late for the reads before a write.
    async with aiosqlite.connect(DATABASE, isolation_level=None) as db:
        db.row_factory = aiosqlite.Row
        await db.execute("PRAGMA foreign_keys = ON")
        await db.execute("PRAGMA synchronous = NORMAL")
        yield db


@asynccontextmanager
async def transaction(db: aiosqlite.Connection) -> AsyncIterator[None]:
    await db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        await db.rollback()
        raise
    await db.commit()


async def reading() -> AsyncIterator[aiosqlite.Connection]:
    async with connect() as db:
        await db.execute("BEGIN")
        yield db


async def writing() -> AsyncIterator[aiosqlite.Connection]:
    async with connect() as db, transaction(db):
        yield db


# With this scope the transaction is committed before the answer is sent.
Reading = Annotated[aiosqlite.Connection, Depends(reading, scope="function")]
Writing = Annotated[aiosqlite.Connection, Depends(writing, scope="function")]


def read_catalogue() -> list[Entry]:
    rows = csv.DictReader(CATALOGUE.read_text("utf-8").splitlines())
    return [Entry.model_validate(row) for row in rows]


async def open_shop(db: aiosqlite.Connection) -> None:
    await db.execute("PRAGMA journal_mode = WAL")
    async with transaction(db):
        for table in SCHEMA.split(";"):
            await db.execute(table)
        if await value(db, "SELECT EXISTS (SELECT 1 FROM books)"):
            return
        entries = await run_in_threadpool(read_catalogue)
        authors = {entry.author: entry for entry in entries}
        await db.executemany(
            "INSERT INTO authors (name, born, died) VALUES (:author, :born, :died)",
            [entry.model_dump(include={"author", "born", "died"}) for entry in authors.values()],
        )
        await db.executemany(
            """
            INSERT INTO books (title, author_id, published, language, price_cents, stock)
            SELECT :title, id, :published, :language, :price_cents, :stock
            FROM authors WHERE name = :author
            """,
            [entry.model_dump(exclude={"born", "died"}) for entry in entries],
        )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with connect() as db:
        await open_shop(db)
    yield


app = FastAPI(title="Bookshop", lifespan=lifespan)


@app.exception_handler(Problem)
async def problem(request: Request, error: Problem) -> JSONResponse:
    return JSONResponse(error.content, error.status, media_type="application/problem+json")


@app.exception_handler(RequestValidationError)
async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    faults = [{key: fault[key] for key in ("loc", "msg", "type")} for fault in error.errors()]
    if any(fault["type"] == "json_invalid" for fault in faults):
        found = Problem(
            400, "malformed", "The request is malformed", "the input does not fit", errors=faults
        )
    else:
        found = Problem(
            422, "invalid", "The input is not valid", "the input does not fit", errors=faults
        )
    return await problem(request, found)


async def one(db: aiosqlite.Connection, sql: str, values: dict[str, Any]) -> aiosqlite.Row | None:
    async with db.execute(sql, values) as cursor:
        return await cursor.fetchone()


async def value(db: aiosqlite.Connection, sql: str, values: dict[str, Any] | None = None) -> Any:
    row = await one(db, sql, values or {})
    return row[0] if row else None


async def some(db: aiosqlite.Connection, sql: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    async with db.execute(sql, values) as cursor:
        return [dict(row) for row in await cursor.fetchall()]


async def changed(db: aiosqlite.Connection, sql: str, values: dict[str, Any]) -> int:
    async with db.execute(sql, values) as cursor:
        return cursor.rowcount


async def book(db: aiosqlite.Connection, book_id: int) -> Book:
    row = await one(db, f"{BOOKS} WHERE books.id = :id", {"id": book_id})
    if row is None:
        raise Problem(
            404,
            "no-such-book",
            "There is no such book",
            f"the shop has no book {book_id}",
            book_id=book_id,
        )
    return Book(**dict(row))


async def order(db: aiosqlite.Connection, order_id: int) -> Order:
    placed_at = await value(db, "SELECT placed_at FROM orders WHERE id = :id", {"id": order_id})
    if placed_at is None:
        raise Problem(
            404,
            "no-such-order",
            "There is no such order",
            f"there is no order {order_id}",
            order_id=order_id,
        )
    rows = await some(
        db,
        """
        SELECT book_id, title, quantity, order_lines.price_cents
        FROM order_lines JOIN books ON books.id = book_id
        WHERE order_id = :id ORDER BY book_id
        """,
        {"id": order_id},
    )
    lines = [OrderLine(**row) for row in rows]
    total = sum(line.quantity * line.price_cents for line in lines)
    return Order(id=order_id, placed_at=placed_at, total_cents=total, lines=lines)


@app.get("/books")
async def find_books(
    db: Reading,
    q: Annotated[str, Query(max_length=100, pattern=NO_CONTROLS)] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> BookPage:
    for special in ("\\", "%", "_"):
        q = q.replace(special, f"\\{special}")
    values = {"pattern": f"%{q}%", "limit": limit, "offset": offset}
    total = await value(db, f"SELECT count(*) {SHELF} WHERE {MATCHING}", values)
    rows = await some(
        db, f"{BOOKS} WHERE {MATCHING} ORDER BY books.id LIMIT :limit OFFSET :offset", values
    )
    return BookPage(total=total, books=[Book(**row) for row in rows])


@app.get("/books/{id}")
async def get_book(db: Reading, id: PathId) -> Book:
    return await book(db, id)


@app.post("/books", status_code=201)
async def add_book(db: Writing, new: NewBook, response: Response) -> Book:
    values = new.model_dump()
    known = await value(
        db, f"SELECT books.id {SHELF} WHERE title = :title AND name = :author", values
    )
    if known is not None:
        raise Problem(
            409,
            "book-exists",
            "The shop has this book already",
            f"the shop has it as book {known}",
            book_id=known,
        )
    await db.execute("INSERT INTO authors (name) VALUES (:author) ON CONFLICT DO NOTHING", values)
    book_id = await value(
        db,
        """
        INSERT INTO books (title, author_id, published, language, price_cents, stock)
        SELECT :title, id, :published, :language, :price_cents, :stock
        FROM authors WHERE name = :author
        RETURNING id
        """,
        values,
    )
    response.headers["location"] = f"/books/{book_id}"
    return await book(db, book_id)


@app.patch("/books/{id}")
async def change_book(db: Writing, id: PathId, change: BookChange) -> Book:
    await db.execute(
        """
        UPDATE books SET
            price_cents = coalesce(:price_cents, price_cents),
            stock = coalesce(:stock, stock)
        WHERE id = :id
        """,
        {"id": id, **change.model_dump()},
    )
    return await book(db, id)


@app.get("/authors/{id}")
async def get_author(db: Reading, id: PathId) -> Author:
    row = await one(db, "SELECT id, name, born, died FROM authors WHERE id = :id", {"id": id})
    if row is None:
        raise Problem(
            404,
            "no-such-author",
            "There is no such author",
            f"the shop knows no author {id}",
            author_id=id,
        )
    rows = await some(db, f"{BOOKS} WHERE author_id = :id ORDER BY published, books.id", {"id": id})
    return Author(**dict(row), books=[Book(**each) for each in rows])


@app.post("/orders", status_code=201)
async def place_order(db: Writing, new: NewOrder, response: Response) -> Order:
    copies: Counter[int] = Counter()
    for line in new.lines:
        copies[line.book_id] += line.quantity
    order_id = await value(
        db,
        "INSERT INTO orders (placed_at) VALUES (:now) RETURNING id",
        {"now": datetime.now(UTC).isoformat()},
    )
    for book_id, quantity in sorted(copies.items()):
        values = {"order_id": order_id, "book_id": book_id, "quantity": quantity}
        taken = await changed(
            db,
            """
            UPDATE books SET stock = stock - :quantity
            WHERE id = :book_id AND stock >= :quantity
            """,
            values,
        )
        if not taken:
            left = await book(db, book_id)
            raise Problem(
                409,
                "out-of-stock",
                "Fewer copies are left than were ordered",
                f"{left.stock} of {quantity} copies of {left.title!r} are left",
                book_id=book_id,
                available=left.stock,
                requested=quantity,
            )
        await db.execute(
            """
            INSERT INTO order_lines (order_id, book_id, quantity, price_cents)
            SELECT :order_id, id, :quantity, price_cents FROM books WHERE id = :book_id
            """,
            values,
        )
    response.headers["location"] = f"/orders/{order_id}"
    return await order(db, order_id)


@app.get("/orders/{id}")
async def get_order(db: Reading, id: PathId) -> Order:
    return await order(db, id)
