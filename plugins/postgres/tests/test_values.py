"""Values go in and come out as they are, or are refused before anything is sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_postgres._database import PostgresDatabase
from covet_postgres._values import encode

EVERY_VERSION = True
Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]

HOSTILE = [
    "'; DROP TABLE t; --",
    "\\",
    "\\x41",
    "$1",
    "%s",
    "{}",
    '"',
    "NULL",
    "\u202e\U0001f4da\n\t",
    "",
]

VALUES: dict[str, list[Any]] = {
    "smallint": [0, -(2**15), 2**15 - 1],
    "integer": [0, -1, 2**31 - 1, -(2**31)],
    "bigint": [0, 2**63 - 1, -(2**63)],
    "real": [0.0, 1.5, float("inf")],
    "double precision": [0.1, -1e308, 5e-324, float("-inf"), 2.0**53],
    "numeric": [Decimal("0.1"), Decimal("-12345678901234567890.123456789"), Decimal("1E+30")],
    "numeric(10,2)": [Decimal("1.20")],
    "text": HOSTILE,
    "varchar(100)": HOSTILE,
    "bytea": [b"", b"\x00\xff'\\", bytes(range(256))],
    "boolean": [True, False],
    "date": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "time": [time(0, 0), time(23, 59, 59, 999999)],
    "timestamp": [
        datetime.min,  # noqa: DTZ901 - without a zone
        datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=UTC).replace(tzinfo=None),
    ],
    "timestamptz": [datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=UTC)],
    "interval": [timedelta(0), timedelta(days=-3, microseconds=1), timedelta(days=400, hours=1)],
    "uuid": [uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-1234-567812345678")],
    "json": [{"a": [1, None, True, "\u00e9'\""]}, [1, [2]], 5, 0.5, True],
    "jsonb": [{"a": [1, None, True, "\u00e9'\""]}, [], {}],
    "integer[]": [[], [1, None, -3], [[1, 2], [3, 4]]],
    "text[]": [HOSTILE, ["a", None, "NULL"]],
    "bytea[]": [[b"\x00\\'", b""]],
    "numeric[]": [[Decimal("1.5"), None]],
    "timestamptz[]": [[datetime(2024, 1, 1, tzinfo=UTC)]],
    "uuid[]": [[uuid.UUID(int=7)]],
}


@pytest.mark.parametrize("pooler", [False, True], ids=["direct", "pooler"])
async def test_values_come_back_as_they_went_in(open_db: Opener, pooler: bool) -> None:
    async with open_db(pgbouncer=pooler) as db:
        for kind, values in VALUES.items():
            for value in [*values, None]:
                if pooler and kind.startswith("json") and not isinstance(value, dict):
                    continue  # nothing tells that it is to be JSON
                got = await db.fetch_value(f"SELECT CAST(? AS {kind})", (value,))
                assert got == value, kind
                assert type(got) is type(value), kind


async def test_times_of_another_zone_are_the_same_instant(open_db: Opener) -> None:
    there = datetime(2024, 2, 29, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    async with open_db() as db:
        got = await db.fetch_value("SELECT CAST(? AS timestamptz)", (there,))
        assert got == there
        assert got.utcoffset() == timedelta(0)


async def test_types_of_ones_own_and_ranges(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
        await db.execute("CREATE TABLE people (mood mood, moods mood[], age int4range)")
        await db.execute("INSERT INTO people VALUES (?, ?, ?)", ("glad", "{sad,glad}", "[1,5)"))
        row = await db.fetch_one("SELECT mood, 5 AS n, lower(age) AS low FROM people")
        assert row == {"mood": "glad", "n": 5, "low": 1}
        with pytest.raises(SqlError) as caught:
            await db.execute("INSERT INTO people (mood) VALUES (?)", ("angry",))
        assert caught.value.sqlstate == "22P02"
        assert "angry" not in str(caught.value)


class Color(str, Enum):  # noqa: UP042 - whose own text is another
    """A text by another class."""

    RED = "red"


async def test_subclasses_are_what_they_derive_from(open_db: Opener) -> None:
    class Number(int):
        def __str__(self) -> str:
            return "no number"

    async with open_db() as db:
        assert await db.fetch_value("SELECT CAST(? AS text)", (Color.RED,)) == "red"
        assert await db.fetch_value("SELECT CAST(? AS integer)", (Number(5),)) == 5


REFUSED: list[tuple[str, Any, str]] = [
    ("text", 5, "07006"),
    ("text", True, "07006"),
    ("text", b"bytes", "07006"),
    ("integer", b"5", "07006"),
    ("bytea", "text", "07006"),
    ("bytea", 5, "07006"),
    ("integer", [1], "07006"),
    ("integer", {"a": 1}, "07006"),
    ("timestamp", datetime(2024, 1, 1, tzinfo=UTC), "07006"),
    ("timestamptz", datetime.min, "07006"),  # noqa: DTZ901 - that is the point
    ("text[]", [1], "07006"),
    ("json", {"a": float("nan")}, "22032"),
    ("json", {"a": object()}, "22032"),
    ("text", "a\0b", "22021"),
    ("jsonb", {"a": "\0"}, "22P05"),
    ("text", "\ud800", "22021"),
    ("integer", 2**31, "22003"),
    ("bigint", 2**63, "22003"),
    ("integer", 1.5, "22P02"),
    ("integer", "secret words", "22P02"),
    ("uuid", "secret words", "22P02"),
    ("date", "secret words", "22007"),
]


async def test_what_does_not_fit_is_refused(open_db: Opener) -> None:
    async with open_db() as db:
        for kind, value, sqlstate in REFUSED:
            with pytest.raises(SqlError) as caught:
                await db.fetch_value(f"SELECT CAST(? AS {kind})", (value,))
            assert caught.value.sqlstate == sqlstate, (kind, value)
            assert "secret" not in str(caught.value)
        # Nothing of it has disturbed the connections.
        assert await db.fetch_value("SELECT 1") == 1
        assert db.counts.discarded == 0


async def test_what_python_cannot_hold_is_an_error_not_another_value(open_db: Opener) -> None:
    async with open_db() as db:
        for value in ("'infinity'::date", "'0044-03-15 BC'::date", "'infinity'::timestamptz"):
            with pytest.raises(SqlError) as caught:
                await db.fetch_value(f"SELECT {value}")
            assert caught.value.sqlstate == "22008"
            assert await db.fetch_value(f"SELECT ({value})::text") is not None


async def test_a_parameter_without_a_type_is_text_or_said_to_have_none(open_db: Opener) -> None:
    async with open_db() as db:
        assert await db.fetch_value("SELECT ?", ("a",)) == "a"
        with pytest.raises(SqlError, match="CAST"):
            await db.fetch_value("SELECT ?", (5,))
        with pytest.raises(SqlError, match="CAST"):
            await db.fetch_value("SELECT ? IS NULL", (5,))


async def test_two_columns_of_one_name_are_refused(open_db: Opener) -> None:
    async with open_db() as db:
        for run in (db.fetch_all, db.fetch_one, db.fetch_value):
            with pytest.raises(SqlError) as caught:
                await run("SELECT 1 AS a, 2 AS a")
            assert caught.value.sqlstate == "42701"
        async with db.transaction() as session:
            with pytest.raises(SqlError, match="'a' twice"):
                await session.fetch_all("SELECT 1 AS a, 2 AS a")


async def test_large_values(open_db: Opener) -> None:
    large = "\u00e9" * 5_000_000
    async with open_db() as db:
        await db.execute("CREATE TABLE large (a TEXT, b BYTEA)")
        await db.execute("INSERT INTO large VALUES (?, ?)", (large, large.encode()))
        row = await db.fetch_one("SELECT a, b FROM large")
        assert row == {"a": large, "b": large.encode()}
        # Written as a parameter of a read, on a connection that others share.
        assert await db.fetch_value("SELECT length(?)", (large,)) == len(large)


@given(
    value=st.one_of(
        st.integers(), st.text(), st.floats(), st.binary(), st.booleans(), st.none(),
        st.dates(), st.times(), st.datetimes(), st.timedeltas(), st.uuids(), st.decimals(),
        st.lists(st.one_of(st.integers(), st.text(), st.none())),
        st.dictionaries(st.text(), st.text()),
    ),
    oid=st.sampled_from([0, 16, 17, 20, 21, 23, 25, 114, 700, 701, 1007, 1009, 1043, 1082, 1114, 1184, 1700, 2950, 3802]),
)  # fmt: skip
def test_any_value_is_written_or_refused_as_the_contract_says(value: Any, oid: int) -> None:
    try:
        written = encode(value, oid)
    except SqlError as error:
        assert error.sqlstate in ("07006", "22021", "22032")
    else:
        assert (written is None) == (value is None)
        if written is not None and not isinstance(value, bytes):
            assert b"\0" not in bytes(written)
