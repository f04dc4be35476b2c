"""Pages of a list as Relay has them: edges, cursors and what is known of the pages around."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel

from covet_operations import Invalid

T = TypeVar("T")
_PREFIX = "offset:"
_LONGEST = 64


class PageInfo(BaseModel):
    """What is around a page.

    Attributes:
        has_next_page: Whether there are items behind it.
        has_previous_page: Whether there are items before it.
        start_cursor: Of its first item, ``None`` where it has none.
        end_cursor: Of its last item.
    """

    has_next_page: bool = False
    has_previous_page: bool = False
    start_cursor: str | None = None
    end_cursor: str | None = None


class Edge(BaseModel, Generic[T]):
    """One item of a page.

    Attributes:
        node: The item.
        cursor: Where it is, for ``after``.
    """

    node: T
    cursor: str


class Connection(BaseModel, Generic[T]):
    """One page of a list, as clients of Relay's expect it: ``-> graphql.Connection[Book]``.

    Attributes:
        edges: The items.
        page_info: What is around them.
        total_count: How many items there are on all pages, if that was counted.
    """

    edges: list[Edge[T]]
    page_info: PageInfo
    total_count: int | None = None


def connection(
    items: Sequence[T], *, offset: int = 0, more: bool = False, total: int | None = None
) -> Connection[T]:
    """A page made of items that lie one behind the other.

    Args:
        items: Those of the page.
        offset: How many come before them: `offset_after` of the argument ``after``.
        more: Whether there are items behind them.
        total: How many there are in all, if that was counted.
    """
    edges: list[Edge[T]] = [
        Edge(node=each, cursor=_cursor(offset + place)) for place, each in enumerate(items)
    ]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=more,
            has_previous_page=offset > 0,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=total,
    )


def offset_after(cursor: str | None) -> int:
    """How many items come before what is behind a cursor; 0 without one.

    Raises:
        Invalid: It is none of `connection`'s.
    """
    if cursor is None:
        return 0
    try:
        text = urlsafe_b64decode(cursor[:_LONGEST].encode("ascii")).decode("ascii")
    except (binascii.Error, UnicodeError):
        text = ""
    number = text.removeprefix(_PREFIX)
    if not text.startswith(_PREFIX) or not number.isdecimal() or len(number) > 15:
        raise Invalid("'after' is no cursor of this list")
    return int(number) + 1


def _cursor(offset: int) -> str:
    return urlsafe_b64encode(f"{_PREFIX}{offset}".encode("ascii")).decode("ascii")
