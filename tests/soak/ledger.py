"""What the bookshop's database says of stock and orders, read past the service."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

Lines = dict[int, int]
"""Copies by book."""


def stock_up(database: Path, copies: Mapping[int, int]) -> None:
    """Put that many copies of each book on the shelf."""
    rows = [(quantity, book) for book, quantity in copies.items()]
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        changed = connection.executemany("UPDATE books SET stock = ? WHERE id = ?", rows).rowcount
    assert changed == len(rows)


def audit(database: Path, stocked: Mapping[int, int]) -> dict[int, Lines]:
    """Every order by its id, once the books are found to balance.

    Args:
        database: The file.
        stocked: What `stock_up` was given; only these books may have been ordered.
    """
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("BEGIN")
        left = dict(connection.execute("SELECT id, stock FROM books"))
        orders: dict[int, Lines] = {
            order: {} for (order,) in connection.execute("SELECT id FROM orders")
        }
        rows = connection.execute("SELECT order_id, book_id, quantity FROM order_lines").fetchall()
    sold: Counter[int] = Counter()
    for order, book, quantity in rows:
        orders[order][book] = quantity
        sold[book] += quantity
    assert min(left.values()) >= 0
    assert {book: left[book] + sold[book] for book in stocked} == dict(stocked)
    assert sold.keys() <= stocked.keys()
    return orders
