"""Reports: queries that read much and may be a moment old, for which a replica will do."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

import covet_http as http
from covet_kernel.contracts import SqlSession
from covet_operations import operation
from shop.models import Bestsellers, Sold


@operation(transaction="read")
@http.get("/reports/bestsellers")
async def find_bestsellers(
    db: SqlSession, limit: Annotated[int, Field(ge=1, le=100)] = 10
) -> Bestsellers:
    """The books of which most copies were ordered."""
    rows = await db.fetch_all(
        """
        SELECT book_id, title, count(*) AS orders, sum(quantity) AS copies
        FROM order_lines JOIN books ON books.id = book_id
        GROUP BY book_id, title ORDER BY copies DESC, book_id LIMIT :limit
        """,
        {"limit": limit},
    )
    return Bestsellers(books=[Sold(**row) for row in rows])
