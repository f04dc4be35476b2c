"""What version 1 of the API said otherwise. The operations know the present version only."""

from __future__ import annotations

from typing import Any

import covet_http as http
from shop.models import Book, Title


class BookOne(Title):
    """A book in version 1: whether there is one, not how many."""

    available: bool


@http.downgrade_response("2", "1", Book)
def say_only_whether(book: dict[str, Any]) -> BookOne:
    return BookOne(**book, available=book["stock"] > 0)
