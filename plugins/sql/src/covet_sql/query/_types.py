"""Column types: what a Python type is kept as, so that all databases give the same back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """A ``datetime`` that knows its time zone; read back in UTC.

    SQLite keeps it as text of one length, so that it sorts by time, and MySQL without the zone.
    """

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return sa.Text()
        if dialect.name == "mysql":
            return mysql.DATETIME(fsp=6)
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone: use an aware datetime, or NaiveDatetime")
        if dialect.name == "sqlite":
            return value.astimezone(UTC).isoformat(" ", "microseconds")
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "mysql" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


class Exact(TypeDecorator[Decimal]):
    """A ``Decimal``. SQLite keeps a binary number, and what that cannot hold is refused."""

    impl = sa.Numeric
    cache_ok = True

    def __init__(self, digits: int | None = None, places: int | None = None) -> None:
        super().__init__(digits, places)
        self.digits = digits
        self.places = places

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return sa.REAL()
        return dialect.type_descriptor(sa.Numeric(self.digits, self.places))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        exact = value if isinstance(value, Decimal) else Decimal(str(value))
        if not exact.is_finite():
            raise ValueError("a number that is not finite")
        if dialect.name != "sqlite":
            return exact
        kept = float(exact)
        if Decimal(f"{kept:.15g}") != exact:
            raise ValueError("a decimal number has more than the 15 digits that SQLite keeps")
        return kept

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        # Sums of binary numbers differ in the 16th digit and behind.
        return Decimal(f"{value:.15g}" if isinstance(value, float) else str(value))


class Duration(TypeDecorator[timedelta]):
    """A ``timedelta``, in microseconds where the database has no such type."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.INTERVAL() if native else sa.BigInteger())

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else value // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> timedelta | None:
        return value if value is None or isinstance(value, timedelta) else value * _MICROSECOND


class Choice(TypeDecorator[Enum]):
    """An ``Enum``, kept as the value of its member."""

    impl = sa.String
    cache_ok = True

    def __init__(self, choices: type[Enum]) -> None:
        super().__init__()
        self.choices = choices
        values = [each.value for each in choices]
        if all(isinstance(value, int) for value in values):
            self.kept: TypeEngine[Any] = sa.BigInteger()
        elif all(isinstance(value, str) for value in values):
            self.kept = sa.String(max(map(len, values)))
        else:
            raise TypeError(
                f"the values of {choices.__name__} are neither all text nor all numbers"
            )

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(self.kept)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self.choices(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> Enum | None:
        return None if value is None else self.choices(value)


def _whole() -> TypeEngine[Any]:
    # SQLite counts a key only if its type is spelled INTEGER, which has 64 bits there.
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def document() -> TypeEngine[Any]:
    """JSON; on PostgreSQL the binary kind, which has the operators and the indexes."""
    json = sa.JSON(none_as_null=True)
    return json.with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def _text(limits: dict[str, Any]) -> TypeEngine[Any]:
    length = limits.get("max_length")
    return sa.String(length) if length else sa.Text()


def _decimal(limits: dict[str, Any]) -> TypeEngine[Any]:
    digits, places = limits.get("max_digits"), limits.get("decimal_places")
    if digits is None or places is None:
        raise TypeError("a Decimal column needs Field(max_digits=..., decimal_places=...)")
    return Exact(digits, places)


_NAIVE = "NaiveDatetime"
_PLAIN: dict[type, Any] = {
    bool: lambda limits: sa.Boolean(),
    int: lambda limits: _whole(),
    float: lambda limits: sa.Double(),
    str: _text,
    bytes: lambda limits: sa.LargeBinary(limits.get("max_length")),
    datetime: lambda limits: Moment(),
    date: lambda limits: sa.Date(),
    time: lambda limits: sa.Time().with_variant(mysql.TIME(fsp=6), "mysql"),
    timedelta: lambda limits: Duration(),
    Decimal: _decimal,
    UUID: lambda limits: sa.Uuid(),
}


def column_type(annotation: Any, metadata: Sequence[Any] = ()) -> TypeEngine[Any]:
    """The SQL type of a field.

    Args:
        annotation: Its type, without ``None`` and ``Annotated``.
        metadata: What ``Annotated`` and ``Field`` say besides: lengths, digits.

    Raises:
        TypeError: A ``Decimal`` does not say how many digits it has.
    """
    if get_origin(annotation) is Literal:
        kinds = {type(each) for each in get_args(annotation)}
        if len(kinds) == 1:
            annotation = kinds.pop()
    limits = {
        name: value
        for each in metadata
        for name in ("max_length", "max_digits", "decimal_places")
        if (value := getattr(each, name, None)) is not None
    }
    if getattr(annotation, "__name__", "") == _NAIVE or any(_is_naive(each) for each in metadata):
        return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            return Choice(annotation)
        for base in annotation.__mro__:
            if base in _PLAIN:
                found: TypeEngine[Any] = _PLAIN[base](limits)
                return found
    return document()


def _is_naive(each: Any) -> bool:
    return type(each).__name__ == _NAIVE or getattr(each, "__name__", "") == _NAIVE


def value_type(value: Any) -> TypeEngine[Any] | None:
    """The type a value is bound as where no column says so; ``None``: the driver's own."""
    if isinstance(value, Decimal):
        return Exact()
    if isinstance(value, datetime):
        return Moment() if value.tzinfo else sa.DateTime()
    if isinstance(value, Enum | date | time | timedelta | UUID):
        return column_type(type(value))
    return None
