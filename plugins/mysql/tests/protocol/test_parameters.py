"""Values become parameters that say their type, and what has none is refused by name."""

# ruff: noqa: DTZ001 - the database has no zones

from __future__ import annotations

import enum
import math
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._columns import Column
from covet_mysql._protocol._parameters import UnwritableError, execution, written
from covet_mysql._protocol._rows import Decoder

TEXTS = {c.VAR_STRING, c.NEWDECIMAL}


def read_back(request: bytes, count: int) -> list[Any]:
    """The values of an execution, as a server would take them."""
    assert request[:1] == c.COM_STMT_EXECUTE
    number, flags, iterations = struct.unpack_from("<IBI", request, 1)
    assert (number, flags, iterations) == (7, 0, 1)
    at = 10
    if not count:
        assert len(request) == at
        return []
    width = (count + 7) // 8
    nulls = int.from_bytes(request[at : at + width], "little")
    at += width
    assert request[at] == 1
    kinds = [request[at + 1 + 2 * n : at + 3 + 2 * n] for n in range(count)]
    columns = [
        Column(str(place), kind[0], unsigned=bool(kind[1] & 0x80), binary=kind[0] not in TEXTS)
        for place, kind in enumerate(kinds)
    ]
    body = request[at + 1 + 2 * count :]
    head = b"\0" + (nulls << 2).to_bytes((count + 9) // 8, "little")
    return [*Decoder(columns).row(head + body).values()]


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=300),
    st.binary(max_size=300),
    st.decimals(allow_nan=False, allow_infinity=False, places=4),
    st.dates(),
    st.datetimes(),
    st.timedeltas(timedelta(days=-34), timedelta(days=34)),
)


@given(st.lists(VALUES, max_size=20))
def test_values_are_read_as_they_were_given(values: list[Any]) -> None:
    assert read_back(execution(7, values), len(values)) == values


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        (True, c.LONGLONG, 1),
        (2**64, c.NEWDECIMAL, Decimal(2**64)),
        (-(2**63) - 1, c.NEWDECIMAL, Decimal(-(2**63) - 1)),
        (Decimal("1E+3"), c.NEWDECIMAL, Decimal(1000)),
        (Decimal("1E-7"), c.NEWDECIMAL, Decimal("0.0000001")),
        (UUID(int=5), c.VAR_STRING, "00000000-0000-0000-0000-000000000005"),
        ({"a": [1, None]}, c.VAR_STRING, '{"a": [1, null]}'),
        ([1, "é"], c.VAR_STRING, '[1, "\\u00e9"]'),
        ((1,), c.VAR_STRING, "[1]"),
        (Colour.RED, c.VAR_STRING, "red"),
        (Number.ONE, c.LONGLONG, 1),
        (bytearray(b"a"), c.BLOB, b"a"),
        (memoryview(b"a"), c.BLOB, b"a"),
        (time(1, 2, 3, 4), c.TIME, timedelta(hours=1, minutes=2, seconds=3, microseconds=4)),
        (date(2026, 1, 2), c.DATE, date(2026, 1, 2)),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), c.DATETIME, datetime(2026, 1, 2, 3)),
        (
            datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=5))),
            c.DATETIME,
            datetime(2026, 1, 1, 22),
        ),
        (timedelta(microseconds=-1), c.TIME, timedelta(microseconds=-1)),
    ],
)
def test_what_becomes_of_a_value(value: Any, kind: int, read: Any) -> None:
    assert written(value)[0][0] == kind
    assert read_back(execution(7, [value]), 1) == [read]


@pytest.mark.parametrize(
    ("value", "sqlstate"),
    [
        (object(), "07006"),
        ({1, 2}, "07006"),
        (math.nan, "22003"),
        (-math.inf, "22003"),
        (Decimal("NaN"), "22003"),
        (Decimal("1E+999999"), "22003"),
        (Decimal("1E-999999"), "22003"),
        (10**65, "22003"),
        pytest.param(1 << 15_000, "22003", id="huge"),
        ("\ud800", "22021"),
        ({"a": math.nan}, "22032"),
        ({"a": object()}, "22032"),
        (timedelta(days=35), "22008"),
        (time(1, tzinfo=UTC), "22007"),
    ],
)
def test_what_has_no_type_is_refused(value: Any, sqlstate: str) -> None:
    with pytest.raises(UnwritableError) as caught:
        execution(7, [1, value])
    assert caught.value.sqlstate == sqlstate


def test_nested_lists_without_end_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnwritableError):
        written(endless)


def test_a_cursor_is_asked_for() -> None:
    assert execution(7, [], cursor=True)[5] == 1
