"""One page of a list, and where the others are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """Items, and cursors to the pages around them.

    Attributes:
        items: In the order that was asked for.
        next: The ``cursor`` of the next page; ``None``: this is the last.
        prev: The ``cursor`` of the page before; ``None``: this is the first.
        total: How many items there are on all pages, if that was counted.
    """

    model_config = ConfigDict(defer_build=True)

    items: list[T]
    next: str | None = Field(default=None, description="The cursor of the next page, if any.")
    prev: str | None = Field(default=None, description="The cursor of the page before, if any.")
    total: int | None = Field(default=None, description="Items on all pages, if counted.")

    def relations(self) -> Mapping[str, Mapping[str, str | None]]:
        """By relation (``next``, ``prev``, ``first``), what differs in the query that gets it."""
        found: dict[str, dict[str, str | None]] = {}
        if self.next is not None:
            found["next"] = {"cursor": self.next}
        if self.prev is not None:
            found["prev"] = {"cursor": self.prev}
            found["first"] = {"cursor": None}
        return found


class OffsetPage(BaseModel, Generic[T]):
    """Items from an offset on.

    Attributes:
        items: In the order that was asked for.
        offset: How many come before them.
        limit: How many a page has at most.
        next: The ``offset`` of the next page; ``None``: this is the last.
        prev: The ``offset`` of the page before; ``None``: this is the first.
        total: How many items there are on all pages, if that was counted.
    """

    model_config = ConfigDict(defer_build=True)

    items: list[T]
    offset: int
    limit: int
    next: int | None = Field(default=None, description="The offset of the next page, if any.")
    prev: int | None = Field(default=None, description="The offset of the page before, if any.")
    total: int | None = Field(default=None, description="Items on all pages, if counted.")

    def relations(self) -> Mapping[str, Mapping[str, str | None]]:
        """By relation (also ``last``, if it was counted), what differs in the query that gets it."""
        found: dict[str, dict[str, str | None]] = {}
        if self.next is not None:
            found["next"] = {"offset": str(self.next)}
        if self.prev is not None:
            found["prev"] = {"offset": str(self.prev)}
            found["first"] = {"offset": None}
        if self.total and self.next is not None:
            last = self.offset + (self.total - 1 - self.offset) // self.limit * self.limit
            found["last"] = {"offset": str(last)}
        return found
