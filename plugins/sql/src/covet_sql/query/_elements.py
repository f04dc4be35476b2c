"""Pieces of statements that SQLAlchemy has for one dialect only, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.elements import ClauseElement, ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal


class EveryRow(ColumnElement[bool]):
    """The condition that every row meets."""

    __visit_name__ = "every_row"
    type = sa.Boolean()
    _traverse_internals = ()  # type: ignore[assignment]
    inherit_cache = True


EVERY_ROW: Final = EveryRow()
"""``where(EVERY_ROW)``: the whole table is meant. An update or delete without a condition is refused."""


class Incoming(ColumnElement[Any]):
    """The value that an upsert would have inserted into a column."""

    __visit_name__ = "incoming"
    _traverse_internals = [("column", InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - as the base declares it
    inherit_cache = True

    def __init__(self, column: Any) -> None:
        self.column = column
        self.type = column.type


class OnConflict(ClauseElement):
    """What becomes of a row whose key is there already."""

    __visit_name__ = "on_conflict"
    _traverse_internals = [  # noqa: RUF012 - as the base declares it
        ("keys", InternalTraversal.dp_string_list),
        ("names", InternalTraversal.dp_string_list),
        ("values", InternalTraversal.dp_clauseelement_list),
        ("first", InternalTraversal.dp_string),
    ]
    inherit_cache = True

    def __init__(
        self, keys: Sequence[str], names: Sequence[str], values: Sequence[Any], first: str
    ) -> None:
        self.keys = list(keys)
        self.names = list(names)
        self.values = list(values)
        self.first = first
