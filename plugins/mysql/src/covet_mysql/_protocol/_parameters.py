"""Values of Python's as parameters: each says its type, and stands apart from the text."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID

from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._fields import sized

Written: TypeAlias = tuple[bytes, bytes]
"""A type's two bytes, and the value."""


class UnwritableError(Exception):
    """A value that no parameter can have.

    Attributes:
        sqlstate: What kind of a mistake it is.
    """

    def __init__(self, message: str, sqlstate: str = "07006") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


_NULL = bytes((c.NULL, 0))
_INT = bytes((c.LONGLONG, 0))
_UINT = bytes((c.LONGLONG, 0x80))
_DOUBLE = bytes((c.DOUBLE, 0))
_DECIMAL = bytes((c.NEWDECIMAL, 0))
_TEXT = bytes((c.VAR_STRING, 0))
_BLOB = bytes((c.BLOB, 0))
_DATE = bytes((c.DATE, 0))
_DATETIME = bytes((c.DATETIME, 0))
_TIME = bytes((c.TIME, 0))
_pack_int = struct.Struct("<q").pack
_pack_double = struct.Struct("<d").pack
_pack_execution = struct.Struct("<IBI").pack
_LONGEST = timedelta(hours=838, minutes=59, seconds=59, microseconds=999999)


def _int(value: int) -> Written:
    if -(1 << 63) <= value < 1 << 63:
        return _INT, _pack_int(value)
    if 0 <= value < 1 << 64:
        return _UINT, value.to_bytes(8, "little")
    if abs(value) >= 10**65:
        raise UnwritableError("a number has more digits than the database keeps", "22003")
    return _DECIMAL, sized(b"%d" % value)


def _text(value: str) -> Written:
    try:
        return _TEXT, sized(value.encode())
    except UnicodeEncodeError:
        raise UnwritableError("a text has characters that UTF-8 cannot carry", "22021") from None


def _float(value: float) -> Written:
    if value - value != 0.0:
        raise UnwritableError("the database has no numbers that are not finite", "22003")
    return _DOUBLE, _pack_double(value)


def _decimal(value: Decimal) -> Written:
    if not value.is_finite():
        raise UnwritableError("the database has no numbers that are not finite", "22003")
    if value.adjusted() >= 65 or value.as_tuple().exponent < -1000:  # type: ignore[operator]
        raise UnwritableError("a number has more digits than the database keeps", "22003")
    return _DECIMAL, sized(f"{value:f}".encode())


def _bytes(value: bytes | bytearray | memoryview) -> Written:
    return _BLOB, sized(bytes(value))


def _datetime(value: datetime) -> Written:
    if value.tzinfo is not None:
        # There are no zones: all times of a connection are in UTC.
        value = value.astimezone(UTC)
    return _DATETIME, struct.pack(
        "<BHBBBBBI", 11, value.year, value.month, value.day, value.hour, value.minute,
        value.second, value.microsecond,
    )  # fmt: skip


def _date(value: date) -> Written:
    return _DATE, struct.pack("<BHBB", 4, value.year, value.month, value.day)


def _duration(value: timedelta) -> Written:
    if abs(value) > _LONGEST:
        raise UnwritableError("a duration is longer than the 838:59:59 that TIME keeps", "22008")
    size = abs(value)
    minutes, seconds = divmod(size.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return _TIME, struct.pack(
        "<B?IBBBI", 12, value < timedelta(), size.days, hours, minutes, seconds, size.microseconds
    )


def _time(value: time) -> Written:
    if value.tzinfo is not None:
        raise UnwritableError("the database has no times with a zone", "22007")
    return _TIME, struct.pack(
        "<B?IBBBI", 12, False, 0, value.hour, value.minute, value.second, value.microsecond
    )


def _json(value: Any) -> Written:
    try:
        return _text(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise UnwritableError(f"a value cannot be written as JSON: {error}", "22032") from None


def _uuid(value: UUID) -> Written:
    return _text(str(value))


def _enum(value: Enum) -> Written:
    return written(value.value)


_WRITERS: dict[type, Callable[[Any], Written]] = {
    int: _int,
    str: _text,
    float: _float,
    bytes: _bytes,
    bool: _int,
    Decimal: _decimal,
    datetime: _datetime,
    date: _date,
    timedelta: _duration,
    time: _time,
    UUID: _uuid,
    bytearray: _bytes,
    memoryview: _bytes,
    dict: _json,
    list: _json,
    tuple: _json,
    Enum: _enum,
}
"""By class, for values whose subclasses are written alike."""


def written(value: Any) -> Written:
    """A value's type and its bytes.

    Raises:
        UnwritableError: It has none.
    """
    writer = _WRITERS.get(value.__class__)
    if writer is None:
        writer = next((_WRITERS[each] for each in type(value).__mro__ if each in _WRITERS), None)
        if writer is None:
            raise UnwritableError(
                f"a {type(value).__name__} is nothing that the database has a type for"
            )
    return writer(value)


def execution(number: int, values: Sequence[Any], *, cursor: bool = False) -> bytes:
    """The command that runs a prepared statement.

    Args:
        number: What the server calls it.
        values: In the order of its parameters.
        cursor: Whether its rows are fetched by and by.

    Raises:
        UnwritableError: A value is none that a parameter can have.
    """
    head = c.COM_STMT_EXECUTE + _pack_execution(number, cursor, 1)
    if not values:
        return head
    nulls, bit = 0, 1
    kinds: list[bytes] = []
    parts: list[bytes] = []
    for value in values:
        if value is None:
            nulls |= bit
            kinds.append(_NULL)
        else:
            kind, part = written(value)
            kinds.append(kind)
            parts.append(part)
        bit <<= 1
    return b"".join(
        (head, nulls.to_bytes((len(values) + 7) // 8, "little"), b"\x01", *kinds, *parts)
    )
