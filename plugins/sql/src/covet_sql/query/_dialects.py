"""SQLAlchemy's compilers for the three dialects, so that what they write is safe to send.

A compiler writes no parameter into the text but a mark, behind which the text is cut later: no
identifier, literal or name of a parameter can pass for one. What is left to the names of columns by
SQLAlchemy's own placeholders (``:name`` for a column that is called ``x' OR 1=1``) never happens.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pydantic_core import from_json, to_json
from sqlalchemy.dialects.mysql.base import MySQLCompiler
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.dialects.postgresql import json as postgresql_json
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGIdentifierPreparer
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler, SQLiteDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnClause, TextClause
from sqlalchemy.sql.visitors import iterate

from covet_kernel.contracts import SqlError
from covet_sql.query._elements import EveryRow, Incoming, OnConflict

NONCE = secrets.token_hex(8)
MARK = re.compile(f"\0{NONCE}:([0-9]+)\0")
"""Stands for the parameter of that number; nobody outside the process can write one."""
BARE = re.compile(r"[A-Z0-9_$]+\Z", re.IGNORECASE)
"""Names that may go without quotes. SQLAlchemy's own pattern takes a line's end behind one for nothing."""


def json_text(value: Any) -> str:
    """A value as JSON, models by the names of their fields."""
    return to_json(value, by_alias=False, fallback=_struct).decode()


def _struct(value: Any) -> Any:
    if not hasattr(value, "__struct_fields__"):
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
    import msgspec

    return msgspec.to_builtins(value)


if TYPE_CHECKING:
    _Base = SQLCompiler
else:
    _Base = object


class _Marking(_Base):
    """What the compilers of all dialects do otherwise than SQLAlchemy's.

    Attributes:
        marks: The number of each parameter by its name within the compiler.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.marks: dict[str, int] = {}
        super().__init__(*arguments, **options)

    def bindparam_string(
        self,
        name: str,
        post_compile: bool = False,
        expanding: bool = False,
        escaped_from: str | None = None,
        bindparam_type: Any = None,
        accumulate_bind_names: set[str] | None = None,
        visited_bindparam: list[str] | None = None,
        **options: Any,
    ) -> str:
        if accumulate_bind_names is not None:
            accumulate_bind_names.add(name)
        if visited_bindparam is not None:
            visited_bindparam.append(name)
        mark = f"\0{NONCE}:{self.marks.setdefault(name, len(self.marks))}\0"
        return mark if expanding else self.cast_mark(mark, bindparam_type)

    def cast_mark(self, mark: str, kind: Any) -> str:
        """The mark, with its type where the database could not tell it."""
        if kind is None or not self.dialect._bind_typing_render_casts:
            return mark
        impl = kind._unwrapped_dialect_impl(self.dialect)
        cast: Any = self.render_bind_cast
        marked: str = cast(kind, impl, mark) if impl.render_bind_cast else mark
        return marked

    def render_literal_value(self, value: Any, type_: Any) -> str:
        text: str = super().render_literal_value(value, type_)
        if "\0" in text:
            raise sa.exc.CompileError("a literal has a NUL character")
        return text

    def visit_update(self, update_stmt: Any, *arguments: Any, **options: Any) -> Any:
        _refuse_without_condition(update_stmt, "UPDATE")
        inherited: Any = super().visit_update
        return inherited(update_stmt, *arguments, **options)

    def visit_delete(self, delete_stmt: Any, *arguments: Any, **options: Any) -> Any:
        _refuse_without_condition(delete_stmt, "DELETE")
        inherited: Any = super().visit_delete
        return inherited(delete_stmt, *arguments, **options)

    def visit_every_row(self, element: EveryRow, **options: Any) -> str:
        return "1 = 1"

    def visit_incoming(self, element: Incoming, **options: Any) -> str:
        return f"excluded.{self.preparer.quote(element.column.name)}"

    def visit_on_conflict(self, clause: OnConflict, **options: Any) -> str:
        quote = self.preparer.quote
        target = f" ({', '.join(quote(name) for name in clause.keys)})" if clause.keys else ""
        if not clause.names:
            return f"ON CONFLICT{target} DO NOTHING"
        return f"ON CONFLICT{target} DO UPDATE SET {self.assignments(clause, **options)}"

    def assignments(self, clause: OnConflict, **options: Any) -> str:
        """``column = value`` of an upsert, separated by commas."""
        options = {**options, "include_table": True, "use_schema": False}
        return ", ".join(
            f"{self.preparer.quote(name)} = {self.process(value, **options)}"
            for name, value in zip(clause.names, clause.values, strict=True)
        )


def _refuse_without_condition(statement: Any, verb: str) -> None:
    conditions = statement._where_criteria
    if not any(_is_condition(each) for each in conditions):
        raise SqlError(
            f"{verb} of {statement.table.name!r} has no condition: add where(), or"
            " where(EVERY_ROW) if all rows are meant",
            sqlstate="42000",
        )


def _is_condition(each: Any) -> bool:
    """Whether it says something of a row: an ``and_()`` of nothing is ``true``, and was not meant."""
    return any(isinstance(part, _SAYING) for part in iterate(each))


_SAYING = (ColumnClause, TextClause, EveryRow, sa.False_)


class _SQLiteCompiler(_Marking, SQLiteCompiler):
    pass


class _PostgresCompiler(_Marking, PGCompiler):
    def render_bind_cast(self, type_: Any, dbapi_type: Any, sqltext: str) -> str:
        # `::` beside a colon is hard to read, for people and for scanners of parameters.
        kind = self.dialect.type_compiler_instance.process(
            dbapi_type, identifier_preparer=self.preparer
        )
        return f"CAST({sqltext} AS {kind})"

    def visit_slice(self, element: Any, **options: Any) -> str:
        # With spaces, lest bound and colon become a cast.
        return f"{self.process(element.start, **options)} : {self.process(element.stop, **options)}"


class _MySQLCompiler(_Marking, MySQLCompiler):
    def visit_update(self, update_stmt: Any, *arguments: Any, **options: Any) -> Any:
        if update_stmt._returning:
            raise SqlError(
                "MariaDB returns no rows of an UPDATE: read them first", sqlstate="0A000"
            )
        return super().visit_update(update_stmt, *arguments, **options)

    def visit_incoming(self, element: Incoming, **options: Any) -> str:
        return f"VALUES({self.preparer.quote(element.column.name)})"

    def visit_on_conflict(self, clause: OnConflict, **options: Any) -> str:
        if clause.names:
            return f"ON DUPLICATE KEY UPDATE {self.assignments(clause, **options)}"
        # There is no DO NOTHING, and IGNORE would hide every other error too.
        name = self.preparer.quote(clause.first)
        return f"ON DUPLICATE KEY UPDATE {name} = {name}"


class _PostgresJson(postgresql_json.JSON):
    """JSON goes as text; psycopg reads it back by itself."""

    def bind_processor(self, dialect: Dialect) -> Any:
        return self._make_bind_processor(None, json_text)  # type: ignore[no-untyped-call]

    def result_processor(self, dialect: Dialect, coltype: Any) -> None:
        return None


class _PostgresJsonb(postgresql_json.JSONB):
    def bind_processor(self, dialect: Dialect) -> Any:
        return self._make_bind_processor(None, json_text)  # type: ignore[no-untyped-call]

    def result_processor(self, dialect: Dialect, coltype: Any) -> None:
        return None


class _PostgresNumeric(sa.Numeric[Any]):
    """The driver reads numbers by their own type; SQLAlchemy would ask for that type's number."""

    def bind_processor(self, dialect: Dialect) -> None:
        return None

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        return _decimal if self.asdecimal else _float


class _PostgresFloat(sa.Float[Any]):
    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        return _decimal if self.asdecimal else None


def _decimal(value: Any) -> Any:
    return value if value is None or isinstance(value, Decimal) else Decimal(str(value))


def _float(value: Any) -> Any:
    return None if value is None else float(value)


class _MariaUuid(sa.Uuid[Any]):
    """The driver reads these by their own type."""

    def bind_processor(self, dialect: Dialect) -> None:
        return None

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        return None if self.as_uuid else _text


def _text(value: Any) -> Any:
    return None if value is None else str(value)


class _SQLite(SQLiteDialect):
    supports_statement_cache = True
    statement_compiler = _SQLiteCompiler


class _Postgres(PGDialect_psycopg):
    supports_statement_cache = True
    # Those for psycopg double percent signs, which nobody undoes here.
    statement_compiler = _PostgresCompiler  # type: ignore[assignment]
    preparer = PGIdentifierPreparer  # type: ignore[assignment]
    colspecs = {  # noqa: RUF012 - as the base declares it
        **PGDialect_psycopg.colspecs,
        sa.Numeric: _PostgresNumeric,
        sa.Float: _PostgresFloat,
        sa.JSON: _PostgresJson,
        postgresql_json.JSON: _PostgresJson,
        postgresql_json.JSONB: _PostgresJsonb,
    }


class _MySQL(MariaDBDialect):
    name = "mysql"
    supports_statement_cache = True
    supports_native_decimal = True
    statement_compiler = _MySQLCompiler
    insert_returning = True
    delete_returning = True


def _mysql(**options: Any) -> _MySQL:
    made = _MySQL(**options)
    made.server_version_info = (10, 11, 0)
    made._backslash_escapes = False  # as covet's connections are set
    made.colspecs = {**made.colspecs, sa.Uuid: _MariaUuid}
    return made


_MAKERS: dict[str, Callable[..., Any]] = {
    "sqlite": _SQLite,
    "postgresql": _Postgres,
    "mysql": _mysql,
}


@lru_cache(maxsize=len(_MAKERS))
def dialect(name: str) -> Dialect:
    """SQLAlchemy's dialect of that name, which knows no driver.

    Raises:
        SqlError: There is none.
    """
    if name not in _MAKERS:
        valid = ", ".join(sorted(_MAKERS))
        raise SqlError(f"there is no dialect {name!r}, only {valid}", sqlstate="0A000")
    made: Dialect = _MAKERS[name](
        paramstyle="named", json_serializer=json_text, json_deserializer=from_json
    )
    made.identifier_preparer.legal_characters = BARE
    return made


def empty(compiler: SQLCompiler, kinds: Sequence[Any], operator: Any) -> str:
    """What stands between the parentheses of ``IN ()``."""
    text: str = compiler.visit_empty_set_op_expr(kinds, operator or operators.in_op)  # type: ignore[no-untyped-call]
    return text
