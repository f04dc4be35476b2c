"""Books and their authors: search, read, add, change."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

import covet_http as http
from covet_kernel.contracts import SqlSession
from covet_operations import operation
from shop.errors import BookExists, NoSuchAuthor, NoSuchBook
from shop.models import Author, Book, BookChange, BookPage, Id, NewBook, Search

SHELF = "FROM books JOIN authors ON authors.id = author_id"
BOOKS = f"""
    SELECT books.id, title, author_id, name AS author, published, language, price_cents, stock
    {SHELF}
"""
MATCHING = r"title LIKE :pattern ESCAPE '\' OR name LIKE :pattern ESCAPE '\'"


@operation(transaction="read")
@http.get("/books", versions="*")
async def find_books(
    db: SqlSession,
    q: Search = "",
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0,
) -> BookPage:
    """Books whose title or author contains ``q``, in the order in which the shop got them."""
    values = {"pattern": containing(q), "limit": limit, "offset": offset}
    total = await db.fetch_value(f"SELECT count(*) {SHELF} WHERE {MATCHING}", values)
    rows = await db.fetch_all(
        f"{BOOKS} WHERE {MATCHING} ORDER BY books.id LIMIT :limit OFFSET :offset", values
    )
    return BookPage(total=total, books=[Book(**row) for row in rows])


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
async def add_book(db: SqlSession, new: NewBook) -> Book:
    """Take a title into the catalogue, and its author if the shop did not know them."""
    values = new.model_dump()
    known = await db.fetch_value(
        f"SELECT books.id {SHELF} WHERE title = :title AND name = :author", values
    )
    if known is not None:
        raise BookExists(f"the shop has it as book {known}", book_id=known)
    await db.execute("INSERT INTO authors (name) VALUES (:author) ON CONFLICT DO NOTHING", values)
    book_id = await db.fetch_value(
        """
        INSERT INTO books (title, author_id, published, language, price_cents, stock)
        SELECT :title, id, :published, :language, :price_cents, :stock
        FROM authors WHERE name = :author
        RETURNING id
        """,
        values,
    )
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


def containing(text: str) -> str:
    r"""A pattern for ``LIKE ... ESCAPE '\'`` that takes ``%`` and ``_`` for what they are."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"
