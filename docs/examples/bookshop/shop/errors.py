"""What a client may have to handle. Each protocol renders these in its own way."""

from __future__ import annotations

from covet_operations import Conflict, NotFound, Unsupported


class NoSuchBook(NotFound):
    """There is no such book."""

    book_id: int


class NoSuchAuthor(NotFound):
    """There is no such author."""

    author_id: int


class NoSuchOrder(NotFound):
    """There is no such order."""

    order_id: int


class BookExists(Conflict):
    """The shop has this book already."""

    book_id: int


class OutOfStock(Conflict):
    """Fewer copies are left than were ordered."""

    book_id: int
    available: int
    requested: int


class NoCover(NotFound):
    """The shop has no cover of this book."""

    book_id: int


class NotAnImage(Unsupported):
    """A cover is a PNG, JPEG or WebP image."""
