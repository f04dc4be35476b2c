"""The stock ticker: what has changed on the shelves, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from pydantic import Field

import covet_http as http
from covet_kernel.contracts import SqlDatabase
from shop.models import StockChange

RECENT = 10
EVERY = 1.0
CHANGES = """
    SELECT stock_changes.id AS number, book_id, title, stock_changes.stock
    FROM stock_changes JOIN books ON books.id = book_id
    WHERE stock_changes.id > :last ORDER BY stock_changes.id
"""


@http.get("/stock/events")
async def follow_stock(
    db: SqlDatabase,
    last: Annotated[int | None, Field(ge=0, le=2**63 - 1), http.Header("last-event-id")] = None,
    seconds: Annotated[float, Field(ge=0, le=3600)] = 3600,
) -> AsyncIterator[http.Event[StockChange]]:
    """Changes of stock for so many seconds, the last ten at once.

    Who comes back with the number of the last change they have seen gets what came after it. The
    event `missed` says that some of it is not kept any more.
    """
    newest = await db.fetch_value("SELECT coalesce(max(id), 0) FROM stock_changes")
    if last is None:
        last = max(newest - RECENT, 0)
    elif last > newest:
        last = 0  # of another database than this one
    # An answer begins with its first event; this one tells where it starts.
    yield http.Event(id=last, retry=2)
    until = anyio.current_time() + seconds
    while True:
        # Looked up and not waited for: so changes that other processes commit are told as well.
        for row in await db.fetch_all(CHANGES, {"last": last}):
            number = row.pop("number")
            if number > last + 1:
                yield http.Event(event="missed", text=f"{number - last - 1} changes")
            yield http.Event(StockChange(**row), id=number)
            last = number
        left = until - anyio.current_time()
        if left <= 0:
            return
        await anyio.sleep(min(left, EVERY))
