"""Orders: copies leave the stock in the transaction that records who gets them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

import covet_http as http
from covet_kernel.contracts import SqlSession
from covet_operations import operation
from shop.books import BOOKS
from shop.dialects import Dialect
from shop.errors import NoSuchBook, NoSuchOrder, OutOfStock
from shop.models import Id, Order, OrderLine, Wanted

TAKE = "UPDATE books SET stock = stock - :quantity WHERE id = :id AND stock >= :quantity"


@operation(transaction="write", errors=(NoSuchBook, OutOfStock))
@http.post("/orders", status=201, location="/orders/{id}", idempotency="optional")
async def place_order(
    db: SqlSession,
    dialect: Dialect,
    lines: Annotated[list[Wanted], Field(min_length=1, max_length=50)],
) -> Order:
    """Take every line or none. Lines for the same book count as one."""
    copies: Counter[int] = Counter()
    for line in lines:
        copies[line.book_id] += line.quantity
    order_id = await db.fetch_value(
        "INSERT INTO orders (placed_at) VALUES (:now) RETURNING id",
        {"now": datetime.now(UTC).isoformat()},
    )
    # In the order of their numbers, so that two orders never wait for each other.
    for book_id, quantity in sorted(copies.items()):
        await take(db, dialect, book_id, quantity)
        await db.execute(
            """
            INSERT INTO order_lines (order_id, book_id, quantity, price_cents)
            SELECT :order_id, id, :quantity, price_cents FROM books WHERE id = :book_id
            """,
            {"order_id": order_id, "book_id": book_id, "quantity": quantity},
        )
    return await get_order(db, order_id)


@operation(transaction="read", errors=(NoSuchOrder,))
@http.get("/orders/{id}")
async def get_order(db: SqlSession, id: Id) -> Order:
    """One order, at the prices of its day."""
    placed_at = await db.fetch_value("SELECT placed_at FROM orders WHERE id = :id", {"id": id})
    if placed_at is None:
        raise NoSuchOrder(f"there is no order {id}", order_id=id)
    rows = await db.fetch_all(
        """
        SELECT book_id, title, quantity, order_lines.price_cents
        FROM order_lines JOIN books ON books.id = book_id
        WHERE order_id = :id ORDER BY book_id
        """,
        {"id": id},
    )
    lines = [OrderLine(**row) for row in rows]
    total = sum(line.quantity * line.price_cents for line in lines)
    return Order(id=id, placed_at=placed_at, total_cents=total, lines=lines)


async def take(db: SqlSession, dialect: Dialect, book_id: int, quantity: int) -> None:
    """Take copies off the shelf, unless that would leave fewer than none.

    The change locks the book's row until the order is placed, or is not. If there are too few, the
    row is locked to say how many there are; somebody may have brought more in between.
    """
    wanted = {"id": book_id, "quantity": quantity}
    while not await db.execute(TAKE, wanted):
        book = await db.fetch_one(f"{BOOKS} WHERE books.id = :id{dialect.lock}", {"id": book_id})
        if book is None:
            raise NoSuchBook(f"the shop has no book {book_id}", book_id=book_id)
        if book["stock"] < quantity:
            raise OutOfStock(
                f"{book['stock']} of {quantity} copies of {book['title']!r} are left",
                book_id=book_id,
                available=book["stock"],
                requested=quantity,
            )
