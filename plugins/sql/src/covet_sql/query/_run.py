"""Running statements: on a database or a session, with values, into models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Generic, TypeAlias, TypeVar, cast, overload

import sqlalchemy as sa
from sqlalchemy.sql.elements import ClauseElement

from covet_kernel.contracts import Params, Row, SqlError, SqlSession
from covet_sql.query._build import Select
from covet_sql.query._rows import Reader, reader
from covet_sql.query._shape import Bound, Shape, bound, bound_rows
from covet_sql.query._table import counted_key, row_of

T = TypeVar("T")

Statement: TypeAlias = sa.Executable | str
"""An expression, or plain SQL with ``:name`` parameters."""

_PLAIN = Shape(dialect=cast("Any", None), parts=[], text="", slots=(), columns=())


def dialect_of(session: SqlSession) -> str:
    """The dialect of a database or a session of it.

    Raises:
        SqlError: It does not say.
    """
    found: str | None = getattr(session, "dialect", None)
    if found is None:
        raise SqlError(
            f"{type(session).__name__} has no attribute 'dialect', by which expressions are written",
            sqlstate="0A000",
        )
    return found


class _Ready:
    """A statement that can be sent: text, values, and what its rows become."""

    __slots__ = ("params", "shape", "text")

    def __init__(
        self, session: SqlSession, statement: Statement, params: Mapping[str, Any]
    ) -> None:
        if isinstance(statement, str):
            self.text, self.params, self.shape = statement, params, _PLAIN
        else:
            found = bound(cast("ClauseElement", statement), dialect_of(session))
            self.shape = found.shape
            self.text, self.params = found.values(params)


def _into(statement: Statement, into: Any) -> Any:
    return statement.model if into is None and isinstance(statement, Select) else into


@overload
async def fetch_all(
    session: SqlSession, statement: Select[T], into: None = None, /, **params: Any
) -> list[T]: ...
@overload
async def fetch_all(
    session: SqlSession, statement: Statement, into: type[T], /, **params: Any
) -> list[T]: ...
@overload
async def fetch_all(
    session: SqlSession, statement: Statement, into: None = None, /, **params: Any
) -> list[Row]: ...
async def fetch_all(
    session: SqlSession, statement: Statement, into: Any = None, /, **params: Any
) -> list[Any]:
    """Every row.

    Args:
        session: A database, or a session of one.
        statement: What to run.
        into: What rows become: a pydantic model, a dataclass, a msgspec struct, a ``TypedDict``, a
            ``NamedTuple``, ``tuple[int, str]``, or for one column a type as ``int``. The table's
            model unless given; dicts if there is none.
        params: Values of `param`, by name.

    Raises:
        SqlError: The database refuses, a value is missing, or a row does not fit.
    """
    ready = _Ready(session, statement, params)
    rows = await session.fetch_all(ready.text, ready.params)
    return reader(ready.shape, _into(statement, into)).all(rows)


@overload
async def fetch_one(
    session: SqlSession, statement: Select[T], into: None = None, /, **params: Any
) -> T | None: ...
@overload
async def fetch_one(
    session: SqlSession, statement: Statement, into: type[T], /, **params: Any
) -> T | None: ...
@overload
async def fetch_one(
    session: SqlSession, statement: Statement, into: None = None, /, **params: Any
) -> Row | None: ...
async def fetch_one(
    session: SqlSession, statement: Statement, into: Any = None, /, **params: Any
) -> Any:
    """The first row, or ``None``; as `fetch_all` otherwise."""
    ready = _Ready(session, statement, params)
    row = await session.fetch_one(ready.text, ready.params)
    return None if row is None else reader(ready.shape, _into(statement, into)).one(row)


@overload
async def fetch_value(
    session: SqlSession, statement: Statement, into: type[T], /, **params: Any
) -> T | None: ...
@overload
async def fetch_value(
    session: SqlSession, statement: Statement, into: None = None, /, **params: Any
) -> Any: ...
async def fetch_value(
    session: SqlSession, statement: Statement, into: Any = None, /, **params: Any
) -> Any:
    """The first column of the first row, or ``None``; as `fetch_all` otherwise."""
    ready = _Ready(session, statement, params)
    row = await session.fetch_one(ready.text, ready.params)
    return None if row is None else _value(ready.shape, row, into)


def _value(shape: Shape, row: Row, into: Any) -> Any:
    name, value = next(iter(row.items()))
    if value is None:
        return None
    if into is None:
        return reader(shape, None).one({name: value})[name]
    return reader(shape, into).one({name: value})


@overload
def stream(
    session: SqlSession, statement: Select[T], into: None = None, /, **params: Any
) -> AsyncGenerator[T, None]: ...
@overload
def stream(
    session: SqlSession, statement: Statement, into: type[T], /, **params: Any
) -> AsyncGenerator[T, None]: ...
@overload
def stream(
    session: SqlSession, statement: Statement, into: None = None, /, **params: Any
) -> AsyncGenerator[Row, None]: ...
def stream(
    session: SqlSession, statement: Statement, into: Any = None, /, **params: Any
) -> AsyncGenerator[Any, None]:
    """Rows as they are read. Close it (``aclosing``) when done early; as `fetch_all` otherwise."""
    ready = _Ready(session, statement, params)
    return _streamed(session, ready.text, ready.params, reader(ready.shape, _into(statement, into)))


async def _streamed(
    session: SqlSession, text: str, params: Params, reads: Reader
) -> AsyncGenerator[Any, None]:
    async with aclosing(session.stream(text, params)) as rows:
        async for row in rows:
            yield reads.one(row)


async def execute(session: SqlSession, statement: Statement, /, **params: Any) -> int:
    """Run a statement; the number of rows it changed."""
    ready = _Ready(session, statement, params)
    return await session.execute(ready.text, ready.params)


async def execute_many(
    session: SqlSession, statement: Statement, rows: Iterable[Mapping[str, Any]], /
) -> int:
    """Run a statement once per row of values; the number of rows changed in all.

    Args:
        session: A database, on which all rows are stored or none, or a session.
        statement: An insert, whose columns are those of the first row, or anything with `param`.
        rows: Values by column, or by the name of the parameter. All have the same names.
    """
    if isinstance(statement, str):
        return await session.execute_many(statement, rows)
    source = iter(rows)
    first = next(source, None)
    if first is None:
        return 0
    expression = cast("ClauseElement", statement)
    columns = tuple(first) if isinstance(statement, sa.Insert) else None
    name = dialect_of(session)
    found = bound(expression, name) if columns is None else bound_rows(expression, name, columns)
    if any(slot.many for slot in found.shape.slots):
        raise SqlError("a list has no place in a statement for many rows", sqlstate="0A000")
    return await session.execute_many(found.shape.text, _all_values(found, first, source))


def _all_values(
    found: Bound, first: Mapping[str, Any], rest: Iterable[Mapping[str, Any]]
) -> Iterable[Params]:
    yield found.values(first)[1]
    for row in rest:
        yield found.values(row)[1]


async def insert_many(
    session: SqlSession, into: sa.Table, rows: Iterable[Any], statement: sa.Insert | None = None, /
) -> int:
    """Insert models or mappings; how many there were.

    Args:
        session: A database, on which all rows are stored or none, or a session.
        into: The table.
        rows: Of the table's model, or by column. A key that the database counts is ``None`` in all
            of them or in none.
        statement: The insert, if it is not a plain one: an `upsert`.
    """
    wanted = sa.insert(into) if statement is None else statement
    return await execute_many(session, wanted, _rows(into, rows))


def _rows(into: sa.Table, rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
    counted = counted_key(into)
    without: bool | None = None
    for each in rows:
        row = row_of(into, each)
        missing = counted not in row
        if without is None:
            without = missing
        elif without is not missing:
            raise SqlError(f"some rows have a {counted!r}, and some have none", sqlstate="22000")
        yield row


class Prepared(Generic[T]):
    """A statement and what its rows become, compiled once for each dialect it meets."""

    def __init__(self, statement: sa.Executable, into: Any = None) -> None:
        self._statement = cast("ClauseElement", statement)
        self._into = _into(statement, into)
        self._known: dict[str, tuple[Bound, Reader]] = {}

    def bind(self, dialect: str, /, **params: Any) -> tuple[str, Mapping[str, Any]]:
        """The text and its values, as they go to a database of this dialect."""
        return self._for(dialect)[0].values(params)

    def _for(self, name: str) -> tuple[Bound, Reader]:
        found = self._known.get(name)
        if found is None:
            compiled = bound(self._statement, name)
            found = self._known[name] = (compiled, reader(compiled.shape, self._into))
        return found

    async def fetch_all(self, session: SqlSession, /, **params: Any) -> list[T]:
        """Every row."""
        compiled, reads = self._for(dialect_of(session))
        return reads.all(await session.fetch_all(*compiled.values(params)))

    async def fetch_one(self, session: SqlSession, /, **params: Any) -> T | None:
        """The first row, or ``None``."""
        compiled, reads = self._for(dialect_of(session))
        row = await session.fetch_one(*compiled.values(params))
        return None if row is None else cast("T", reads.one(row))

    def stream(self, session: SqlSession, /, **params: Any) -> AsyncGenerator[T, None]:
        """Rows as they are read."""
        compiled, reads = self._for(dialect_of(session))
        return _streamed(session, *compiled.values(params), reads)

    async def execute(self, session: SqlSession, /, **params: Any) -> int:
        """The number of rows it changed."""
        compiled, _ = self._for(dialect_of(session))
        return await session.execute(*compiled.values(params))


@overload
def prepare(  # type: ignore[overload-overlap]
    statement: Select[T], into: None = None
) -> Prepared[T]: ...
@overload
def prepare(statement: sa.Executable, into: type[T]) -> Prepared[T]: ...
@overload
def prepare(statement: sa.Executable, into: None = None) -> Prepared[Row]: ...
def prepare(statement: sa.Executable, into: Any = None) -> Prepared[Any]:
    """A statement to keep and run often, which skips even the look into the cache."""
    return Prepared(statement, into)
