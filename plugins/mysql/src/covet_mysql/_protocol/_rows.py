"""Rows in the binary form, which says each value as its type has it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._columns import Column
from covet_mysql._protocol._fields import NULL, string
from covet_mysql._protocol._packets import ProtocolError

Reader: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""A value at a place, and where the next one is."""


class UnreadableError(Exception):
    """A value that Python has no form for, or none at all; says which column's."""


def _packed(form: str) -> Reader:
    packed = struct.Struct(form)
    unpack, size = packed.unpack_from, packed.size

    def read(row: bytes, at: int) -> tuple[Any, int]:
        return unpack(row, at)[0], at + size

    return read


def _text(row: bytes, at: int) -> tuple[str, int]:
    length = row[at]
    if length < NULL:
        at += 1
        end = at + length
        return row[at:end].decode(), end
    value, at = string(row, at)
    return value.decode(), at


def _decimal(row: bytes, at: int) -> tuple[Decimal, int]:
    value, at = string(row, at)
    return Decimal(value.decode()), at


def _bits(row: bytes, at: int) -> tuple[int, int]:
    value, at = string(row, at)
    return int.from_bytes(value, "big"), at


def _uuid(row: bytes, at: int) -> tuple[UUID, int]:
    value, at = string(row, at)
    return UUID(value.decode()), at


def _date(row: bytes, at: int) -> tuple[date, int]:
    length = row[at]
    if length < 4:
        raise ValueError("it is zero")
    year, month, day = struct.unpack_from("<HBB", row, at + 1)
    return date(year, month, day), at + 1 + length


def _datetime(row: bytes, at: int) -> tuple[datetime, int]:
    length = row[at]
    if length < 4:
        raise ValueError("it is zero")
    at += 1
    year, month, day = struct.unpack_from("<HBB", row, at)
    hour = minute = second = micro = 0
    if length >= 7:
        hour, minute, second = row[at + 4], row[at + 5], row[at + 6]
    if length >= 11:
        micro = int.from_bytes(row[at + 7 : at + 11], "little")
    return datetime(year, month, day, hour, minute, second, micro), at + length  # noqa: DTZ001


def _time(row: bytes, at: int) -> tuple[timedelta, int]:
    length = row[at]
    at += 1
    if not length:
        return timedelta(), at
    negative, days, hours, minutes, seconds = struct.unpack_from("<?IBBB", row, at)
    micro = int.from_bytes(row[at + 8 : at + 12], "little") if length >= 12 else 0
    value = timedelta(days, seconds, micro, 0, minutes, hours)
    return -value if negative else value, at + length


_SIGNED: dict[int, Reader] = {
    c.TINY: _packed("<b"),
    c.SHORT: _packed("<h"),
    c.INT24: _packed("<i"),
    c.LONG: _packed("<i"),
    c.LONGLONG: _packed("<q"),
}
_UNSIGNED: dict[int, Reader] = {
    c.TINY: _packed("<B"),
    c.SHORT: _packed("<H"),
    c.INT24: _packed("<I"),
    c.LONG: _packed("<I"),
    c.LONGLONG: _packed("<Q"),
}
_OTHERS: dict[int, Reader] = {
    c.YEAR: _packed("<H"),
    c.FLOAT: _packed("<f"),
    c.DOUBLE: _packed("<d"),
    c.OLD_DECIMAL: _decimal,
    c.NEWDECIMAL: _decimal,
    c.DATE: _date,
    c.DATETIME: _datetime,
    c.TIMESTAMP: _datetime,
    c.TIME: _time,
    c.BIT: _bits,
    c.JSON: _text,
}


def _reader(column: Column) -> Reader:
    numbers = _UNSIGNED if column.unsigned else _SIGNED
    found = numbers.get(column.kind) or _OTHERS.get(column.kind)
    if found is not None:
        return found
    if column.extended == "uuid":
        return _uuid
    return string if column.binary and not column.extended.startswith("inet") else _text


class Decoder:
    """Makes dicts of rows.

    Attributes:
        columns: What the rows have.
        repeated: The name of two columns, if there is one.
    """

    __slots__ = ("_nulls", "_readers", "_width", "columns", "repeated")

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = list(columns)
        names = [each.name for each in columns]
        self.repeated = next((each for each in names if names.count(each) > 1), None)
        self._readers = tuple((each.name, _reader(each)) for each in columns)
        self._width = 1 + (len(columns) + 9) // 8
        self._nulls = tuple(1 << number for number in range(2, len(columns) + 2))

    def row(self, packet: bytes) -> dict[str, Any]:
        """One row.

        Raises:
            UnreadableError: A value is none of its type's.
        """
        at = self._width
        nulls = int.from_bytes(packet[1:at], "little")
        row: dict[str, Any] = {}
        name = ""
        try:
            if not nulls:
                for name, read in self._readers:
                    row[name], at = read(packet, at)
            else:
                for (name, read), null in zip(self._readers, self._nulls, strict=True):
                    if nulls & null:
                        row[name] = None
                    else:
                        row[name], at = read(packet, at)
        except (ValueError, ArithmeticError, IndexError, struct.error, ProtocolError) as error:
            raise UnreadableError(
                f"a value of the column {name!r} cannot be read: {error}"
            ) from None
        if at != len(packet):
            raise UnreadableError("a row is not as long as its columns")
        return row


def text_row(packet: bytes) -> list[bytes | None]:
    """A row of the text form, for the few questions that the client asks itself."""
    values: list[bytes | None] = []
    at = 0
    while at < len(packet):
        if packet[at] == NULL:
            values.append(None)
            at += 1
        else:
            value, at = string(packet, at)
            values.append(value)
    return values
