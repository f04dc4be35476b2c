"""Lists that callers filter, sort and page through, as `covet_operations` lets them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from covet_sql.query._build import Select
from covet_sql.query._types import value_type

R = TypeVar("R")
_QUOTED = re.compile(r'"[^"]*"|`[^`]*`')


class Selection(Protocol):
    """What `covet_operations.Paging.select` makes of a query: conditions over allowed columns."""

    @property
    def filters(self) -> str: ...
    @property
    def filter_values(self) -> Mapping[str, Any]: ...
    @property
    def where(self) -> str: ...
    @property
    def tail(self) -> str: ...
    @property
    def values(self) -> Mapping[str, Any]: ...


def page(statement: Select[R], selection: Selection) -> Select[R]:
    """The rows of a page: the caller's filters, order and limit on top of a select.

    Args:
        statement: What there is to list, without an order or a limit of its own.
        selection: ``paging.select(query)``; pass what is fetched to its ``page()``.

    Raises:
        ValueError: The select has an order or a limit.
    """
    if statement._order_by_clauses or statement._has_row_limiting_clause:
        raise ValueError("the order and the limit of a page are the selection's")
    tail = _text(selection.tail, selection.values)
    return statement.where(_text(selection.where, selection.values)).suffix_with(tail)


def filtered(statement: Select[R], selection: Selection) -> Select[R]:
    """The rows of all pages: the caller's filters alone, to count by."""
    return statement.where(_text(selection.filters, selection.filter_values))


def _text(sql: str, values: Mapping[str, Any]) -> sa.TextClause:
    # Within quotes a colon begins no parameter.
    text = sa.text(_QUOTED.sub(lambda match: match[0].replace(":", r"\:"), sql))
    known = text._bindparams
    return text.bindparams(
        *(
            sa.bindparam(name, value, type_=value_type(value))
            for name, value in values.items()
            if name in known
        )
    )
