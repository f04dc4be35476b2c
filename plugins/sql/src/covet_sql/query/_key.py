"""A statement's shape in a few words, where it is made of well-known parts.

SQLAlchemy's own key says everything of every element there is, and takes longer than all else that a
statement built anew needs. Nearly all statements are made of tables' columns, values, comparisons and
their like, of which a few attributes tell one shape from another. What has anything else about it has no
key here, and is told apart by SQLAlchemy's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql.cache_key import NO_CACHE
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    Grouping,
    Null,
    UnaryExpression,
)
from sqlalchemy.sql.selectable import ForUpdateArg, _OffsetLimitParam
from sqlalchemy.sql.sqltypes import BOOLEANTYPE

from covet_sql.query._build import Select
from covet_sql.query._elements import EveryRow, Incoming, OnConflict
from covet_sql.query._table import Table

MEMO = "_covet_bound"
"""The attribute of a statement that remembers its shape."""
FUNCTIONS = frozenset((FunctionType, BuiltinFunctionType))
"""What SQLAlchemy's own operators are; others have a state that counts."""
TABLES = frozenset((Table, sa.Table))
IGNORED = (MEMO, "model", "_generate_cache_key", "_memoized_keys", "_all_selected_columns")
"""What a statement has that makes no difference to its text."""
AGAIN = object()
"""Stands before the number of a parameter that was there already."""
NAMED = object()
"""Stands before the name of a parameter that has one."""
MODIFIED = object()
"""Stands before what there is to say of an operator."""

Write: TypeAlias = Callable[[list[Any], dict[str, BindParameter[Any]], Any], None]
"""Adds to the parts of a key and to the parameters, by name, what some element or attribute has of them.

Of everything with a varying number of parts that number comes first, so that no two shapes have the same.
"""


class _UnfamiliarError(Exception):
    """Something is none of the well-known parts."""


def key_of(
    statement: Any, *about: Hashable
) -> tuple[tuple[Hashable, ...], tuple[BindParameter[Any], ...]] | None:
    """What tells the shape of a statement from all others, and the parameters it has.

    Args:
        statement: It.
        about: What else makes a difference.

    Returns:
        ``None`` if the statement has something that is not known here.
    """
    parts: list[Any] = [*about, kind := statement.__class__]
    found: dict[str, BindParameter[Any]] = {}
    try:
        STATEMENTS[kind](parts, found, statement)
    except (_UnfamiliarError, KeyError):
        # A class that is not known, or an attribute.
        return None
    return tuple(parts), tuple(found.values())


def _column(parts: list[Any], found: dict[str, BindParameter[Any]], column: Any) -> None:
    # Those of a subquery are as new as the subquery is: they would be kept, and never met again.
    if column.table.__class__ not in TABLES:
        raise _UnfamiliarError
    parts.append(column)


def _parameter(parts: list[Any], found: dict[str, BindParameter[Any]], parameter: Any) -> None:
    # As a plain dictionary: to look an attribute up in a class of SQLAlchemy's takes twice as long.
    about = parameter.__dict__
    name = about["key"]
    if name in found:
        if found[name] is not parameter:
            raise _UnfamiliarError
        parts += (AGAIN, list(found).index(name))
        return
    kind = about["type"]._static_cache_key
    if kind is NO_CACHE or about["literal_execute"] or about["isoutparam"]:
        raise _UnfamiliarError
    found[name] = parameter
    if about["unique"]:
        parts += (parameter.__class__, kind, about["expanding"])
    else:
        parts += (parameter.__class__, kind, about["expanding"], NAMED, name, about["required"])


def _binary(parts: list[Any], found: dict[str, BindParameter[Any]], expression: Any) -> None:
    about = expression.__dict__
    operator, kind = about["operator"], about["type"]
    if kind is not BOOLEANTYPE and (kind := kind._static_cache_key) is NO_CACHE:
        raise _UnfamiliarError
    if operator.__class__ not in FUNCTIONS:
        raise _UnfamiliarError
    parts += (BinaryExpression, operator, kind)
    if modifiers := about["modifiers"]:
        parts += (MODIFIED, len(modifiers))
        for name, value in modifiers.items():
            if not (value is None or isinstance(value, str | bool)):
                raise _UnfamiliarError
            parts += (name, value)
    for side in (about["left"], about["right"]):
        ELEMENTS[side.__class__](parts, found, side)


def _unary(parts: list[Any], found: dict[str, BindParameter[Any]], expression: Any) -> None:
    kind = expression.type._static_cache_key
    if kind is NO_CACHE:
        raise _UnfamiliarError
    for each in (expression.operator, expression.modifier):
        if each is not None and each.__class__ not in FUNCTIONS:
            raise _UnfamiliarError
    parts += (UnaryExpression, expression.operator, expression.modifier, kind)
    ELEMENTS[expression.element.__class__](parts, found, expression.element)


def _conditions(parts: list[Any], found: dict[str, BindParameter[Any]], conditions: Any) -> None:
    if conditions.operator.__class__ not in FUNCTIONS:
        raise _UnfamiliarError
    parts += (BooleanClauseList, conditions.operator, conditions.group)
    _elements(parts, found, conditions.clauses)


def _grouping(parts: list[Any], found: dict[str, BindParameter[Any]], grouping: Any) -> None:
    kind = grouping.type._static_cache_key
    if kind is NO_CACHE:
        raise _UnfamiliarError
    parts += (Grouping, kind)
    ELEMENTS[grouping.element.__class__](parts, found, grouping.element)


def _alone(parts: list[Any], found: dict[str, BindParameter[Any]], element: Any) -> None:
    parts.append(element.__class__)


def _for_update(parts: list[Any], found: dict[str, BindParameter[Any]], lock: Any) -> None:
    if lock.of is not None:
        raise _UnfamiliarError
    parts += (ForUpdateArg, lock.nowait, lock.read, lock.skip_locked, lock.key_share)


def _on_conflict(parts: list[Any], found: dict[str, BindParameter[Any]], clause: Any) -> None:
    parts += (OnConflict, tuple(clause.keys), tuple(clause.names), clause.first)
    _elements(parts, found, clause.values)


def _incoming(parts: list[Any], found: dict[str, BindParameter[Any]], incoming: Any) -> None:
    parts.append(Incoming)
    ELEMENTS[incoming.column.__class__](parts, found, incoming.column)


def _elements(parts: list[Any], found: dict[str, BindParameter[Any]], elements: Any) -> None:
    parts.append(len(elements))
    for each in elements:
        ELEMENTS[each.__class__](parts, found, each)


def _any(parts: list[Any], found: dict[str, BindParameter[Any]], element: Any) -> None:
    ELEMENTS[element.__class__](parts, found, element)


def _element_if_any(parts: list[Any], found: dict[str, BindParameter[Any]], element: Any) -> None:
    if element is None:
        parts.append(None)
    else:
        ELEMENTS[element.__class__](parts, found, element)


def _plain(parts: list[Any], found: dict[str, BindParameter[Any]], value: Any) -> None:
    parts.append(value)


def _nothing(parts: list[Any], found: dict[str, BindParameter[Any]], value: Any) -> None:
    if value:
        raise _UnfamiliarError


def _joins(parts: list[Any], found: dict[str, BindParameter[Any]], joins: Any) -> None:
    parts.append(len(joins))
    for target, condition, left, flags in joins:
        if target.__class__ not in TABLES or not (left is None or left.__class__ in TABLES):
            raise _UnfamiliarError
        parts += (target, left, flags["isouter"], flags["full"])
        _element_if_any(parts, found, condition)


def _values(parts: list[Any], found: dict[str, BindParameter[Any]], values: Any) -> None:
    parts.append(len(values))
    for column, value in values.items():
        if column.__class__ is str:
            parts.append(column)
        else:
            ELEMENTS[column.__class__](parts, found, column)
        ELEMENTS[value.__class__](parts, found, value)


def _attributes(known: dict[str, Write]) -> Write:
    """Writes what a statement has in these attributes; it may have nothing in others."""
    writes: dict[str, Write | None] = {
        **dict.fromkeys(IGNORED),
        "dialect_options": _nothing,
        **known,
    }

    def write(parts: list[Any], found: dict[str, BindParameter[Any]], statement: Any) -> None:
        for name, value in statement.__dict__.items():
            part = writes[name]
            if part is None:
                continue
            if part is not _nothing:
                parts.append(name)
            part(parts, found, value)

    return write


ELEMENTS: dict[type, Write] = {
    sa.Column: _column,
    Table: _plain,
    sa.Table: _plain,
    BindParameter: _parameter,
    _OffsetLimitParam: _parameter,
    BinaryExpression: _binary,
    UnaryExpression: _unary,
    BooleanClauseList: _conditions,
    Grouping: _grouping,
    Null: _alone,
    EveryRow: _alone,
    ForUpdateArg: _for_update,
    OnConflict: _on_conflict,
    Incoming: _incoming,
}
"""How each class of element is written; what is derived from one of them may have more about it."""

STATEMENTS: dict[type, Write] = {
    Select: _attributes(
        {
            "_raw_columns": _elements,
            "_where_criteria": _elements,
            "_having_criteria": _elements,
            "_order_by_clauses": _elements,
            "_group_by_clauses": _elements,
            "_setup_joins": _joins,
            "_limit_clause": _element_if_any,
            "_offset_clause": _element_if_any,
            "_for_update_arg": _element_if_any,
            "_distinct": _plain,
            "_label_style": _plain,
            "_fetch_clause": _nothing,
            "_fetch_clause_options": _nothing,
        }
    ),
    sa.Insert: _attributes(
        {
            "table": _any,
            "_values": _values,
            "_returning": _elements,
            "_post_values_clause": _any,
        }
    ),
    sa.Update: _attributes(
        {
            "table": _any,
            "_values": _values,
            "_where_criteria": _elements,
            "_returning": _elements,
        }
    ),
    sa.Delete: _attributes({"table": _any, "_where_criteria": _elements, "_returning": _elements}),
}
"""How each class of statement is written."""
