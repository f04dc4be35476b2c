"""Books and their authors: search, read, add, change."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

import covet_graphql as graphql
import covet_grpc as grpc
import covet_http as http
import covet_websocket as websocket
from covet_kernel.contracts import SqlDatabase, SqlSession
from covet_operations import operation
from shop.dialects import Dialect
from shop.errors import BookExists, NoSuchAuthor, NoSuchBook
from shop.models import Author, Book, BookChange, BookPage, Id, NewBook, Search

SHELF = "FROM books JOIN authors ON authors.id = author_id"
COLUMNS = "books.id, title, author_id, name AS author, published, language, price_cents, stock"
BOOKS = f"SELECT {COLUMNS} {SHELF}"
PAGE = f"SELECT {COLUMNS}, count(*) OVER () AS total {SHELF}"
ADD = """
    INSERT INTO books (title, author_id, published, language, price_cents, stock)
    VALUES (:title, :author_id, :published, :language, :price_cents, :stock) RETURNING id
"""


@http.get("/books", versions="*")
@graphql.query("searchBooks")
@grpc.unary("bookshop.v1.Books/SearchBooks")
@websocket.method("books.search")
async def find_books(
    db: SqlDatabase,
    dialect: Dialect,
    q: Search = "",
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0,
) -> BookPage:
    """Books with the words of ``q`` in title or author, in the order in which the shop got them.

    Beginnings of words will do; without any, all books are found.
    """
    words = dialect.search(q)
    if q and not words:
        return BookPage(total=0, books=[])
    where = f"WHERE {dialect.matching}" if words else ""
    values: dict[str, Any] = {"words": words} if words else {}
    # One statement, so that the total is of the same moment, without a transaction.
    rows = await db.fetch_all(
        f"{PAGE} {where} ORDER BY books.id LIMIT :limit OFFSET :offset",
        {**values, "limit": limit, "offset": offset},
    )
    if rows or not offset:
        total = rows[0]["total"] if rows else 0
    else:
        total = await db.fetch_value(f"SELECT count(*) {SHELF} {where}", values)
    return BookPage.model_validate({"total": total, "books": rows})


@operation(transaction="read", errors=(NoSuchBook,))
@http.get("/books/{id}", versions="*")
async def get_book(db: SqlSession, id: Id) -> Book:
    """One book."""
    row = await db.fetch_one(f"{BOOKS} WHERE books.id = :id", {"id": id})
    if row is None:
        raise NoSuchBook(f"the shop has no book {id}", book_id=id)
    return Book(**row)


@operation(transaction="write", errors=(BookExists,))
@http.post("/books", status=201, location="/books/{id}", versions="*")
async def add_book(db: SqlSession, dialect: Dialect, new: NewBook) -> Book:
    """Take a title into the catalogue, and its author if the shop did not know them."""
    await dialect.take_turn(db)
    values = new.model_dump()
    known = await db.fetch_value(
        f"SELECT books.id {SHELF} WHERE title = :title AND name = :author", values
    )
    if known is not None:
        raise BookExists(f"the shop has it as book {known}", book_id=known)
    author_id = await db.fetch_value("SELECT id FROM authors WHERE name = :author", values)
    if author_id is None:
        author_id = await db.fetch_value(
            "INSERT INTO authors (name) VALUES (:author) RETURNING id", values
        )
    book_id = await db.fetch_value(ADD, {**values, "author_id": author_id})
    return await get_book(db, book_id)


@operation(transaction="write", effect="idempotent", errors=(NoSuchBook,))
@http.patch("/books/{id}", versions="*")
async def change_book(db: SqlSession, id: Id, change: BookChange) -> Book:
    """Set the price, the stock or both."""
    await db.execute(
        """
        UPDATE books SET
            price_cents = coalesce(:price_cents, price_cents),
            stock = coalesce(:stock, stock)
        WHERE id = :id
        """,
        {"id": id, **change.model_dump()},
    )
    return await get_book(db, id)


@operation(transaction="read", errors=(NoSuchAuthor,))
@http.get("/authors/{id}", versions="*")
async def get_author(db: SqlSession, id: Id) -> Author:
    """An author, with everything of theirs that the shop has."""
    row = await db.fetch_one("SELECT id, name, born, died FROM authors WHERE id = :id", {"id": id})
    if row is None:
        raise NoSuchAuthor(f"the shop knows no author {id}", author_id=id)
    books = await db.fetch_all(
        f"{BOOKS} WHERE author_id = :id ORDER BY published, books.id", {"id": id}
    )
    return Author(**row, books=[Book(**book) for book in books])
