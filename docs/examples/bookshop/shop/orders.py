"""Orders: copies leave the stock in the transaction that records who gets them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

import covet_graphql as graphql
import covet_grpc as grpc
import covet_http as http
import covet_websocket as websocket
from covet_kernel.contracts import SqlSession
from covet_operations import operation
from shop.dialects import Dialect
from shop.errors import NoSuchBook, NoSuchOrder, OutOfStock
from shop.models import Id, Order, OrderLine, Wanted

STOCK = "SELECT id, title, price_cents, stock FROM books WHERE id IN ({places}) ORDER BY id"
TAKE = "UPDATE books SET stock = stock - :copies WHERE id = :book"
SELL = """
    INSERT INTO order_lines (order_id, book_id, quantity, price_cents)
    VALUES (:order, :book, :copies, :price)
"""


@operation(transaction="write", errors=(NoSuchBook, OutOfStock))
@http.post("/orders", status=201, location="/orders/{id}", idempotency="optional")
@graphql.mutation()
@grpc.unary("bookshop.v1.Orders/PlaceOrder")
@websocket.method("orders.place")
async def place_order(
    db: SqlSession,
    dialect: Dialect,
    lines: Annotated[list[Wanted], Field(min_length=1, max_length=50)],
) -> Order:
    """Take every line or none. Lines for the same book count as one."""
    copies: Counter[int] = Counter()
    for line in lines:
        copies[line.book_id] += line.quantity
    prices = await reserve(db, dialect, copies)
    order_id = await db.fetch_value(
        "INSERT INTO orders (placed_at) VALUES (:now) RETURNING id",
        {"now": datetime.now(UTC).isoformat()},
    )
    sold = [
        {"order": order_id, "book": book_id, "copies": copies[book_id], "price": price}
        for book_id, price in prices.items()
    ]
    await db.execute_many(TAKE, sold)
    await db.execute_many(SELL, sold)
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


async def reserve(db: SqlSession, dialect: Dialect, copies: Mapping[int, int]) -> dict[int, int]:
    """Keep these books for this transaction, if there are copies enough; their prices by number.

    Their rows are locked in the order of their numbers, and all of them before any is changed, so that
    two orders that want the same books never wait for each other.
    """
    wanted = {f"book_{place}": book_id for place, book_id in enumerate(sorted(copies))}
    places = ", ".join(f":{name}" for name in wanted)
    rows = await db.fetch_all(STOCK.format(places=places) + dialect.lock, wanted)
    books = {row["id"]: row for row in rows}
    for book_id in sorted(copies):
        if (book := books.get(book_id)) is None:
            raise NoSuchBook(f"the shop has no book {book_id}", book_id=book_id)
        if book["stock"] < copies[book_id]:
            raise OutOfStock(
                f"{book['stock']} of {copies[book_id]} copies of {book['title']!r} are left",
                book_id=book_id,
                available=book["stock"],
                requested=copies[book_id],
            )
    return {book_id: book["price_cents"] for book_id, book in books.items()}
