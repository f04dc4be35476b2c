"""Rows of any columns and values are read; what is no row is an error, and nothing else."""

# ruff: noqa: DTZ001 - the database has no zones

from __future__ import annotations

import contextlib
import struct
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._columns import Column
from covet_mysql._protocol._fields import sized
from covet_mysql._protocol._rows import Decoder, UnreadableError, text_row


def moment(value: datetime) -> bytes:
    """As a server writes it: without what is zero at the end."""
    head = struct.pack("<HBB", value.year, value.month, value.day)
    if value.microsecond:
        rest = struct.pack("<BBBI", value.hour, value.minute, value.second, value.microsecond)
    elif value.hour or value.minute or value.second:
        rest = struct.pack("<BBB", value.hour, value.minute, value.second)
    else:
        rest = b""
    return sized(head + rest)


def duration(value: timedelta) -> bytes:
    if not value:
        return b"\0"
    size = abs(value)
    hours, rest = divmod(size.seconds, 3600)
    head = struct.pack("<?IBBB", value < timedelta(), size.days, hours, rest // 60, rest % 60)
    return sized(head + (struct.pack("<I", size.microseconds) if size.microseconds else b""))


def integer(kind: int, form: str, bits: int) -> Any:
    signed = st.integers(-(1 << bits - 1), (1 << bits - 1) - 1).map(
        lambda value: (Column("", kind), value, struct.pack("<" + form, value))
    )
    unsigned = st.integers(0, (1 << bits) - 1).map(
        lambda value: (
            Column("", kind, unsigned=True),
            value,
            struct.pack("<" + form.upper(), value),
        )
    )
    return signed | unsigned


TIMES = st.datetimes() | st.dates().map(lambda day: datetime(day.year, day.month, day.day))
VALUES = st.one_of(
    integer(c.TINY, "b", 8),
    integer(c.SHORT, "h", 16),
    integer(c.LONG, "i", 32),
    integer(c.LONGLONG, "q", 64),
    st.floats(allow_nan=False).map(lambda v: (Column("", c.DOUBLE), v, struct.pack("<d", v))),
    st.floats(allow_nan=False, width=32).map(
        lambda v: (Column("", c.FLOAT), v, struct.pack("<f", v))
    ),
    st.integers(0, 2155).map(
        lambda v: (Column("", c.YEAR, unsigned=True), v, struct.pack("<H", v))
    ),
    st.text(max_size=400).map(lambda v: (Column("", c.VAR_STRING), v, sized(v.encode()))),
    st.binary(max_size=400).map(lambda v: (Column("", c.BLOB, binary=True), v, sized(v))),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(
        lambda v: (Column("", c.NEWDECIMAL), v, sized(f"{v:f}".encode()))
    ),
    st.dates().map(
        lambda v: (Column("", c.DATE), v, b"\4" + struct.pack("<HBB", v.year, v.month, v.day))
    ),
    TIMES.map(lambda v: (Column("", c.DATETIME), v, moment(v))),
    TIMES.map(lambda v: (Column("", c.TIMESTAMP), v, moment(v))),
    st.timedeltas(timedelta(days=-34), timedelta(days=34)).map(
        lambda v: (Column("", c.TIME), v, duration(v))
    ),
    st.integers(0, 2**64 - 1).map(
        lambda v: (Column("", c.BIT, unsigned=True), v, sized(v.to_bytes(8, "big")))
    ),
    st.uuids().map(
        lambda v: (Column("", 254, extended="uuid", binary=True), v, sized(str(v).encode()))
    ),
    st.sampled_from([c.TINY, c.VAR_STRING, c.DATE, c.NULL]).map(
        lambda kind: (Column("", kind), None, b"")
    ),
)


def row_of(cells: list[tuple[Column, Any, bytes]]) -> bytes:
    nulls = sum(1 << place + 2 for place, (_, value, _) in enumerate(cells) if value is None)
    width = (len(cells) + 9) // 8
    return b"\0" + nulls.to_bytes(width, "little") + b"".join(each[2] for each in cells)


def decoder_of(cells: list[tuple[Column, Any, bytes]]) -> Decoder:
    return Decoder(
        [
            Column(f"c{place}", each.kind, each.unsigned, each.binary, each.extended)
            for place, (each, _, _) in enumerate(cells)
        ]
    )


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_values_come_out_as_they_went_in(cells: list[tuple[Column, Any, bytes]]) -> None:
    row = decoder_of(cells).row(row_of(cells))
    assert row == {f"c{place}": value for place, (_, value, _) in enumerate(cells)}
    assert [type(each) for each in row.values()] == [type(value) for _, value, _ in cells]


@given(st.lists(VALUES, min_size=1, max_size=6), st.data())
def test_a_row_that_was_cut_or_changed_is_an_error_and_nothing_else(
    cells: list[tuple[Column, Any, bytes]], data: st.DataObject
) -> None:
    decoder, row = decoder_of(cells), bytearray(row_of(cells))
    cut = data.draw(st.integers(1, len(row)))
    if cut < len(row):
        with pytest.raises(UnreadableError):
            decoder.row(bytes(row[:cut]))
    row[data.draw(st.integers(1, len(row) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(UnreadableError):
        decoder.row(bytes(row))


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        (c.DATE, b"\0"),
        (c.DATETIME, b"\0"),
        (c.DATE, b"\4\0\0\0\0"),
        (c.VAR_STRING, b"\1\xff"),
        (c.NEWDECIMAL, b"\1x"),
        (c.VAR_STRING, b"\xfe" + b"\xff" * 8),
    ],
)
def test_values_that_python_has_not_name_their_column(kind: int, cell: bytes) -> None:
    with pytest.raises(UnreadableError, match="'a'"):
        Decoder([Column("a", kind)]).row(b"\0\0" + cell)


def test_what_the_types_mean() -> None:
    cells = [
        (
            Column("a", 254, binary=True, extended="uuid"),
            sized(b"12345678-1234-5678-1234-567812345678"),
        ),
        (Column("b", 254, binary=True, extended="inet6"), sized(b"::1")),
        (Column("c", c.JSON, binary=True), sized(b'{"a":1}')),
        (Column("d", c.TIME), b"\x08\x01\x01\x00\x00\x00\x02\x03\x04"),
        (Column("e", c.NEWDECIMAL), sized(b"-1.50")),
        (Column("f", c.DATE), b"\4\xea\x07\x03\x01"),
    ]
    row = Decoder([each for each, _ in cells]).row(b"\0\0" + b"".join(cell for _, cell in cells))
    assert row == {
        "a": UUID("12345678-1234-5678-1234-567812345678"),
        "b": "::1",
        "c": '{"a":1}',
        "d": -timedelta(days=1, hours=2, minutes=3, seconds=4),
        "e": Decimal("-1.50"),
        "f": date(2026, 3, 1),
    }


def test_columns_of_one_name_are_known() -> None:
    columns = [Column("a", c.TINY), Column("b", c.TINY), Column("a", c.TINY)]
    assert Decoder(columns).repeated == "a"
    assert Decoder(columns[:2]).repeated is None


def test_rows_of_the_text_form() -> None:
    assert text_row(sized(b"12") + b"\xfb" + sized(b"")) == [b"12", None, b""]
