"""A shop's statements, written for any database, answer here what they answer elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from covet_kernel.contracts import SqlIntegrityError
from covet_mysql._database import MysqlDatabase

Opener = Callable[..., AbstractAsyncContextManager[MysqlDatabase]]

ID = "id INTEGER AUTO_INCREMENT PRIMARY KEY"
SCHEMA = (
    f"CREATE TABLE authors ({ID}, name VARCHAR(100) NOT NULL UNIQUE, born INTEGER)",
    f"""
    CREATE TABLE books ({ID}, title VARCHAR(100) NOT NULL, author_id INTEGER NOT NULL REFERENCES authors (id),
        price_cents INTEGER NOT NULL CHECK (price_cents >= 0),
        stock INTEGER NOT NULL CHECK (stock >= 0), UNIQUE (author_id, title))
    """,
    f"CREATE TABLE orders ({ID}, placed_at TEXT NOT NULL)",
    """
    CREATE TABLE order_lines (order_id INTEGER NOT NULL REFERENCES orders (id),
        book_id INTEGER NOT NULL REFERENCES books (id), quantity INTEGER NOT NULL,
        price_cents INTEGER NOT NULL, PRIMARY KEY (order_id, book_id))
    """,
)
SHELF = "FROM books JOIN authors ON authors.id = author_id"
MATCHING = r"title LIKE :pattern ESCAPE '\' OR name LIKE :pattern ESCAPE '\'"
ADD = """
    INSERT INTO books (title, author_id, price_cents, stock)
    SELECT :title, id, :price_cents, :stock FROM authors WHERE name = :author RETURNING id
"""


async def test_a_shops_statements(open_db: Opener) -> None:
    async with open_db() as db:
        for statement in SCHEMA:
            await db.execute(statement)
        book = {"title": "Emma", "author": "Jane Austen", "price_cents": 999, "stock": 3}
        async with db.transaction() as tx:
            for _ in range(2):
                await tx.execute(
                    "INSERT INTO authors (name) VALUES (:author) ON DUPLICATE KEY UPDATE name = name",
                    book,
                )
            assert await tx.fetch_value(ADD, book) == 1
            other = {**book, "title": r"100\% of_it", "stock": 0}
            assert await tx.fetch_value(ADD, other) == 2
        with pytest.raises(SqlIntegrityError):
            await db.fetch_value(ADD, book)
        values = {"pattern": r"%\\\%%", "limit": 20, "offset": 0}
        assert await db.fetch_value(f"SELECT count(*) {SHELF} WHERE {MATCHING}", values) == 1
        rows = await db.fetch_all(
            f"SELECT title {SHELF} WHERE {MATCHING} ORDER BY books.id LIMIT :limit OFFSET :offset",
            values,
        )
        assert rows == [{"title": r"100\% of_it"}]
        change = "UPDATE books SET price_cents = coalesce(:price_cents, price_cents) WHERE id = :id"
        assert await db.execute(change, {"id": 1, "price_cents": None}) == 1
        take = "UPDATE books SET stock = stock - :quantity WHERE id = :id AND stock >= :quantity"
        async with db.transaction() as tx:
            order = await tx.fetch_value(
                "INSERT INTO orders (placed_at) VALUES (:now) RETURNING id", {"now": "today"}
            )
            assert await tx.execute(take, {"id": 1, "quantity": 2}) == 1
            assert await tx.execute(take, {"id": 1, "quantity": 2}) == 0
            await tx.execute(
                """
                INSERT INTO order_lines (order_id, book_id, quantity, price_cents)
                SELECT :order_id, id, :quantity, price_cents FROM books WHERE id = :book_id
                """,
                {"order_id": order, "book_id": 1, "quantity": 2},
            )
        assert await db.fetch_all("SELECT quantity, price_cents FROM order_lines") == [
            {"quantity": 2, "price_cents": 999}
        ]
