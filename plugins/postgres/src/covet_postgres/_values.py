"""Values of Python's as the server reads them, for parameters whose types it has named."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.postgres import types
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from covet_kernel.contracts import SqlError
from covet_postgres._types import BUILTIN, USERS, Types


def oids(*names: str) -> frozenset[int]:
    """The types' numbers."""
    return frozenset(types[name].oid for name in names)


TEXTS = oids("text", "varchar", "bpchar", "name")
BYTEA = types["bytea"].oid
STRICT = TEXTS | {BYTEA}
JSON = oids("json", "jsonb")
TIMESTAMP, TIMESTAMPTZ = types["timestamp"].oid, types["timestamptz"].oid

SIMPLE = (
    "int2 int4 int8 oid float4 float8 bool text varchar bpchar name bytea uuid date time timetz"
    " timestamp timestamptz interval numeric json jsonb"
)
BINARY = oids(*SIMPLE.split()) | {types[name].array_oid for name in SIMPLE.split()}
"""Types whose binary form is read; it is exact, quick, and does not depend on a setting."""


def _wrong(value: Any, expected: str) -> SqlError:
    return SqlError(
        f"a parameter is {expected} for the database, and the value given is a"
        f" {type(value).__name__}: convert it, or write CAST(? AS the type that is meant)",
        sqlstate="07006",
    )


def _text(value: str) -> bytes:
    if "\0" in value:
        raise SqlError("PostgreSQL keeps no NUL characters in a text", sqlstate="22021")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise SqlError("a text has characters that UTF-8 cannot carry", sqlstate="22021") from None


def _json(value: Any) -> bytes:
    try:
        return _text(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SqlError(f"a value cannot be written as JSON: {error}", sqlstate="22032") from None


def _interval(value: timedelta) -> str:
    return f"{value.days} days {value.seconds}.{value.microseconds:06} seconds"


WRITERS: dict[type, Callable[[Any], str]] = {
    str: str.__str__,
    bool: lambda value: "1" if value else "0",
    int: int.__repr__,
    float: float.__repr__,
    Decimal: str,
    UUID: str,
    date: date.isoformat,
    datetime: datetime.isoformat,
    time: time.isoformat,
    timedelta: _interval,
}
"""By class, for values whose subclasses are written alike."""


def _written(value: Any) -> str:
    writer = WRITERS.get(type(value))
    if writer is None:
        writer = next((WRITERS[each] for each in type(value).__mro__ if each in WRITERS), str)
    return writer(value)


def _quoted(value: Any, oid: int, known: Types) -> str:
    """A part of an array, a composite or a range, as they are written."""
    encoded = bytes(encode(value, oid, known) or b"")
    if known.base(oid) in (0, BYTEA) and isinstance(value, (bytes, bytearray, memoryview)):
        text = f"\\x{encoded.hex()}"
    else:
        text = encoded.decode()
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _array(value: Sequence[Any], element: int, known: Types) -> str:
    # A list within is another dimension; a tuple may be a composite.
    inner = (list,) if element >= USERS else (list, tuple)
    parts = [
        "NULL" if item is None
        else _array(item, element, known) if isinstance(item, inner)
        else _quoted(item, element, known)
        for item in value
    ]  # fmt: skip
    return "{" + ",".join(parts) + "}"


def _composite(value: Sequence[Any], oid: int, known: Types) -> str:
    fields = known.composites.get(oid) or (0,) * len(value)
    if len(fields) != len(value):
        raise SqlError(
            f"a parameter is a composite of {len(fields)} fields, and a tuple of {len(value)} was given",
            sqlstate="07006",
        )
    parts = zip(value, fields, strict=True)
    written = ("" if item is None else _quoted(item, field, known) for item, field in parts)
    return "(" + ",".join(written) + ")"


def _range(value: Range[Any], bound: int, known: Types) -> str:
    if value.isempty:
        return "empty"
    low, high = (
        "" if each is None else _quoted(each, bound, known) for each in (value.lower, value.upper)
    )
    return f"{value.bounds[0]}{low},{high}{value.bounds[1]}"


def _multirange(value: Multirange[Any], bound: int, known: Types) -> str:
    return "{" + ",".join(_range(each, bound, known) for each in value) + "}"


def encode(value: Any, oid: int, known: Types = BUILTIN) -> bytes | bytearray | memoryview | None:
    """A value for a parameter of the type; bytes for ``bytea`` are in its binary form, all else is text.

    Args:
        value: Any of the classes the documentation names.
        oid: The parameter's type, 0 if it is not known.
        known: What is known of the types of its database.

    Raises:
        SqlError: The value does not fit the type, in a way the server could not see.
    """
    kind = type(value)
    if kind is int and oid not in STRICT:
        return b"%d" % value
    if kind is str and oid != BYTEA:
        return _text(value)
    if value is None:
        return None
    if oid >= USERS:
        oid = known.base(oid)
    # What is not known of a type is the server's to say.
    strange = oid == 0 or (oid >= USERS and oid not in known.arrays)
    if isinstance(value, (bytes, bytearray, memoryview)):
        if oid >= USERS:
            return b"\\x" + value.hex().encode()
        if oid and oid != BYTEA:
            raise _wrong(value, "no bytes")
        return value
    if oid == BYTEA:
        raise _wrong(value, "bytes")
    if oid in JSON or isinstance(value, dict):
        if not strange and oid not in JSON:
            raise _wrong(value, "no JSON")
        return _json(value)
    if isinstance(value, (list, tuple, Range, Multirange)):
        return _text(_container(value, oid, known, strange=strange))
    return _scalar(value, oid)


def _container(value: Any, oid: int, known: Types, *, strange: bool) -> str:
    if isinstance(value, (list, tuple)):
        if oid >= USERS and oid not in known.arrays and isinstance(value, tuple):
            return _composite(value, oid, known)
        if not strange and oid not in known.arrays:
            raise _wrong(value, "no array")
        return _array(value, known.arrays.get(oid, 0), known)
    if isinstance(value, Range):
        if not strange and oid not in known.ranges:
            raise _wrong(value, "no range")
        return _range(value, known.ranges.get(oid, 0), known)
    if not strange and oid not in known.multiranges:
        raise _wrong(value, "no multirange")
    return _multirange(value, known.multiranges.get(oid, 0), known)


def _scalar(value: Any, oid: int) -> bytes:
    if oid in TEXTS and not isinstance(value, str):
        raise _wrong(value, "a text")
    if isinstance(value, datetime):
        # The server would drop the offset, or put its own in.
        if oid == TIMESTAMP and value.tzinfo is not None:
            raise _wrong(value, "a time without a zone")
        if oid == TIMESTAMPTZ and value.tzinfo is None:
            raise _wrong(value, "a time with a zone")
    return _text(_written(value))
