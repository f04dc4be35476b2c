"""Statements: SQLAlchemy's, and what it has for one dialect only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy.sql import coercions, roles

from covet_sql.query._elements import Incoming, OnConflict
from covet_sql.query._table import Table, row_of

M = TypeVar("M")
R = TypeVar("R")


class Select(sa.Select[Any], Generic[R]):
    """SQLAlchemy's ``Select``, which knows what its rows become.

    Attributes:
        model: The class, or ``None``: a dict.
    """

    inherit_cache = True
    model: type[R] | None = None


@overload
def select(table: Table[M], /) -> Select[M]: ...
@overload
def select(*what: Any) -> Select[dict[str, Any]]: ...
def select(*what: Any) -> Select[Any]:
    """``SELECT``: of a table its models, of columns and expressions dicts or whatever is asked for.

    All of SQLAlchemy's methods are there: ``where``, ``join``, ``group_by``, ``order_by``, ``limit``,
    ``with_for_update``, ``cte``, ``union_all`` ...
    """
    made: Select[Any] = Select(*what)
    if len(what) == 1 and isinstance(what[0], Table):
        made.model = what[0].model
    return made


def insert(into: Table[M] | sa.Table, value: M | Mapping[str, Any] | None = None) -> sa.Insert:
    """``INSERT``: of one model or mapping, or of what ``values()`` says.

    Args:
        into: The table.
        value: A row; a key that the database counts may be ``None`` in a model.
    """
    made = sa.insert(into)
    return made if value is None else made.values(row_of(into, value))


def update(what: sa.Table) -> sa.Update:
    """``UPDATE``; it is refused when it runs unless ``where()`` says which rows, or `EVERY_ROW`."""
    return sa.update(what)


def delete(from_: sa.Table) -> sa.Delete:
    """``DELETE``; it is refused when it runs unless ``where()`` says which rows, or `EVERY_ROW`."""
    return sa.delete(from_)


def upsert(
    statement: sa.Insert,
    *keys: Any,
    update: Iterable[Any] | Mapping[Any, Any] = (),
) -> sa.Insert:
    """An insert that changes, or leaves, the row whose key is there already.

    Args:
        statement: The insert.
        keys: The columns that say which row that is; SQLite and PostgreSQL need a unique index of
            them, and MySQL takes whatever unique index is violated.
        update: Columns that get the new value, or a mapping with expressions of their own, in
            which `incoming` is what would have been inserted. Empty: the row stays as it is.

    Raises:
        ValueError: A column is not one of the table.
    """
    into: Any = statement.table
    pairs = update if isinstance(update, Mapping) else dict.fromkeys(update)
    names: list[str] = []
    values: list[sa.ColumnElement[Any]] = []
    for column, value in pairs.items():
        found = _column(into, column)
        names.append(found.name)
        if value is None and not isinstance(update, Mapping):
            values.append(Incoming(found))
        else:
            values.append(coercions.expect(roles.ExpressionElementRole, value, type_=found.type))
    by = [_column(into, each).name for each in keys]
    if names and not by:
        raise ValueError("an upsert names the columns of its key")
    first = by[0] if by else next(iter(into.c)).name
    made = statement._generate()
    made._post_values_clause = OnConflict(by, names, values, first)
    return made


def incoming(column: Any) -> sa.ColumnElement[Any]:
    """In `upsert`: the value that would have been inserted into a column."""
    return Incoming(column)


def _column(into: Any, column: Any) -> Any:
    name = column if isinstance(column, str) else column.key
    if name not in into.c:
        raise ValueError(f"{name!r} is no column of {into.name}")
    return into.c[name]


def param(name: str, type_: Any = None) -> sa.BindParameter[Any]:
    """A value that is given when the statement runs: ``fetch_all(db, statement, name=...)``."""
    return sa.bindparam(name, required=True, type_=type_)


def count(statement: sa.Select[Any]) -> Select[dict[str, Any]]:
    """How many rows another select has, whatever its order."""
    return select(sa.func.count().label("count")).select_from(statement.order_by(None).subquery())
