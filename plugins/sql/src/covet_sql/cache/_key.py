"""What tells one query from another, and how much memory its result takes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from covet_kernel.contracts import Params

EXACT = (str, bytes, int, bool, type(None))
"""Types whose equal values are the same to a database."""
WRITTEN = (float, Decimal, datetime, date, time, timedelta, UUID)
"""Types of which some equal values are not: ``0.0`` and ``-0.0``, one instant in two time zones."""
IMMUTABLE = frozenset((*EXACT, *WRITTEN))
VALUE = 56
ROW = 120
"""Bytes of what holds a value and a row, about."""
DEEPEST = 20
"""How deep values may be nested."""


def key_of(kind: str, text: str, params: Params) -> Hashable | None:
    """The key of a query with its values, ``None`` for values that have none."""
    if isinstance(params, Mapping):
        names = tuple(params)
        values = _values(tuple(params.values()))
        return None if values is None else (kind, text, names, values)
    if isinstance(params, (str, bytes, bytearray)):
        return None  # the driver refuses it
    values = _values(params)
    return None if values is None else (kind, text, values)


def _values(values: Sequence[Any]) -> tuple[Hashable, ...] | None:
    found: list[Hashable] = []
    for value in values:
        kind = type(value)
        if kind in EXACT:
            found.append((kind, value))
        elif kind in WRITTEN:
            found.append((kind, repr(value)))
        elif kind in (list, tuple):
            inner = _values(value)
            if inner is None:
                return None
            found.append((kind, inner))
        else:
            return None
    return tuple(found)


def weigh(value: Any, depth: int = 0) -> int:
    """About how many bytes a result takes.

    Args:
        value: A value, a row or rows.
        depth: How deep it is inside; what is deeper than anybody nests counts as much too much.
    """
    kind = type(value)
    if kind in IMMUTABLE:
        return VALUE + (len(value) if kind in (str, bytes) else 0)
    if depth > DEEPEST:
        return 1 << 40
    if kind is dict:
        return ROW + sum(VALUE + weigh(each, depth + 1) for each in value.values())
    if kind in (list, tuple):
        return ROW + sum(weigh(each, depth + 1) for each in value)
    return 4 * VALUE


def copied(value: Any) -> Any:
    """A result of which nobody else's copy changes when it is changed."""
    kind = type(value)
    if kind is list:
        return [copied(each) for each in value]
    if kind is dict:
        row = value.copy()
        for name, each in value.items():
            if type(each) not in IMMUTABLE:
                row[name] = copied(each)
        return row
    return value if kind in IMMUTABLE else deepcopy(value)
