"""Values go in and come out as they are, or are refused before anything is sent."""

# ruff: noqa: DTZ001 - the database has no zones

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from covet_kernel.contracts import SqlError
from covet_mysql._database import MysqlDatabase

Opener = Callable[..., AbstractAsyncContextManager[MysqlDatabase]]

HOSTILE = [
    "'; DROP TABLE t; --",
    "\\",
    "\\x41",
    "?",
    "%s",
    "`",
    '"',
    "NULL",
    "a\0b",
    "\u202e\U0001f4da\n\t",
    "",
]

VALUES: dict[str, list[Any]] = {
    "TINYINT": [0, -128, 127],
    "SMALLINT": [-(2**15), 2**15 - 1],
    "MEDIUMINT": [-(2**23), 2**23 - 1],
    "INTEGER": [0, -1, 2**31 - 1, -(2**31)],
    "BIGINT": [0, 2**63 - 1, -(2**63)],
    "TINYINT UNSIGNED": [0, 255],
    "SMALLINT UNSIGNED": [2**16 - 1],
    "MEDIUMINT UNSIGNED": [2**24 - 1],
    "INTEGER UNSIGNED": [2**32 - 1],
    "BIGINT UNSIGNED": [0, 2**63, 2**64 - 1],
    "FLOAT": [0.0, 1.5, -0.25],
    "DOUBLE": [0.1, -1e308, 5e-324, 2.0**53],
    "DECIMAL(65,20)": [Decimal("0.10000000000000000000"), Decimal("-1234567890.12345678901234567890")],
    "DECIMAL(10,2)": [Decimal("1.20"), Decimal("-99999999.99")],
    "VARCHAR(100)": HOSTILE,
    "TEXT": [*HOSTILE, "x" * 60_000],
    "LONGTEXT": ["y" * 300_000],
    "VARBINARY(300)": [b"", b"\x00\xff'\\", bytes(range(256))],
    "LONGBLOB": [b"\x00" * 70_000, bytes(range(256)) * 2000],
    "BINARY(4)": [b"a\0\xffb"],
    "DATE": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "TIME": [timedelta(0), timedelta(hours=25, minutes=1, seconds=2), timedelta(seconds=-5)],
    "TIME(6)": [timedelta(microseconds=1), -timedelta(hours=838, minutes=59, microseconds=999999)],
    "DATETIME": [datetime(2024, 2, 29, 12, 30, 1), datetime(2024, 2, 29)],
    "DATETIME(6)": [datetime(2024, 2, 29, 12, 30, 1, 5), datetime(9999, 12, 31, 23, 59, 59, 999999)],
    "TIMESTAMP(6)": [datetime(2024, 2, 29, 12, 30, 1, 5)],
    "YEAR": [1901, 2155],
    "UUID": [uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-1234-567812345678")],
    "BIT(9)": [0, 5, 511],
    "ENUM('glad', 'sad')": ["sad"],
    "SET('a', 'b', 'c')": ["a,c", ""],
    "INET6": ["::1"],
}  # fmt: skip


async def test_values_come_back_as_they_went_in(open_db: Opener) -> None:
    async with open_db() as db:
        for number, (kind, values) in enumerate(VALUES.items()):
            await db.execute(f"CREATE TABLE v{number} (n INTEGER, v {kind} NULL)")
            for value in [*values, None]:
                await db.execute(f"DELETE FROM v{number}")
                await db.execute(f"INSERT INTO v{number} VALUES (1, ?)", (value,))
                for text in (f"SELECT v FROM v{number}", f"SELECT v FROM v{number} WHERE n = ?"):
                    got = await db.fetch_value(text, (1,) if "?" in text else ())
                    assert got == value, kind
                    assert type(got) is type(value), kind


async def test_values_alone(open_db: Opener) -> None:
    """Their types are those they were given with."""
    async with open_db() as db:
        for value in (5, 2**64 - 1, 0.5, "a", b"a\xff", Decimal("1.50"), None, date(2024, 1, 1)):
            got = await db.fetch_value("SELECT ? AS v", (value,))
            assert got == value
            assert type(got) is type(value)
        assert await db.fetch_value("SELECT ? + 1 AS v", (41,)) == 42
        assert await db.fetch_value("SELECT ? || ? AS v", ("a", "b")) == "ab"


async def test_json_is_text(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("CREATE TABLE j (v JSON)")
        await db.execute("INSERT INTO j VALUES (?), (?)", ({"a": [1, None, "é'\""]}, '{"b": 2}'))
        assert await db.fetch_all("SELECT JSON_VALUE(v, '$.b') AS b FROM j ORDER BY 1") == [
            {"b": None},
            {"b": "2"},
        ]
        assert isinstance(await db.fetch_value("SELECT v FROM j"), str)
        with pytest.raises(SqlError):
            await db.execute("INSERT INTO j VALUES (?)", ("{no json",))


async def test_times_of_a_zone_are_the_same_instant(open_db: Opener) -> None:
    there = datetime(2024, 2, 29, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    async with open_db() as db:
        await db.execute("CREATE TABLE d (v TIMESTAMP)")
        await db.execute("INSERT INTO d VALUES (?)", (there,))
        got = await db.fetch_value("SELECT v FROM d")
        assert got.replace(tzinfo=UTC) == there
        assert await db.fetch_value("SELECT @@session.time_zone AS z") == "+00:00"


class Color(str, Enum):  # noqa: UP042 - whose own text is another
    """A text by another class."""

    RED = "red"


async def test_subclasses_are_what_they_derive_from(open_db: Opener) -> None:
    class Number(int):
        def __str__(self) -> str:
            return "no number"

    async with open_db() as db:
        row = await db.fetch_one(
            "SELECT ? AS a, ? AS b, ? AS c", (Color.RED, Number(5), time(1, 2))
        )
        assert row == {"a": "red", "b": 5, "c": timedelta(hours=1, minutes=2)}


@pytest.mark.parametrize(
    ("value", "sqlstate"),
    [
        (object(), "07006"),
        (float("nan"), "22003"),
        ("\ud800", "22021"),
        (timedelta(days=40), "22008"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before(
    open_db: Opener, value: object, sqlstate: str
) -> None:
    async with open_db(pool_size=1) as db:
        for call in (
            lambda: db.execute("INSERT INTO t (a) VALUES (?)", (value,)),
            lambda: db.fetch_all("SELECT ? AS v", (value,)),
            lambda: db.execute_many("INSERT INTO t (a) VALUES (?)", [(1,), (value,)]),
            lambda: anext(db.stream("SELECT ? AS v", (value,))),
        ):
            with pytest.raises(SqlError) as caught:
                await call()
            assert caught.value.sqlstate == sqlstate
        assert await db.fetch_value("SELECT count(*) FROM t") == 0
        assert db.counts.discarded == 0


@pytest.mark.parametrize(
    ("kind", "value", "sqlstate"),
    [
        ("VARCHAR(3)", "secret", "22001"),
        ("TINYINT", 123456, "22003"),
        ("INTEGER", "secret", None),
        ("DATE", "secret", None),
        ("DATE", "0000-00-00", None),
        ("ENUM('glad')", "secret", None),
        ("INTEGER NOT NULL", None, "23000"),
        ("UUID", "secret", None),
    ],
)
async def test_what_a_column_cannot_keep_is_refused_and_not_quoted(
    open_db: Opener, kind: str, value: object, sqlstate: str | None
) -> None:
    async with open_db() as db:
        await db.execute(f"CREATE TABLE v (v {kind} UNIQUE)")
        with pytest.raises(SqlError) as caught:
            await db.execute("INSERT INTO v VALUES (?)", (value,))
        if sqlstate is not None:
            assert caught.value.sqlstate == sqlstate
        assert str(value) not in str(caught.value)
        assert await db.fetch_value("SELECT count(*) FROM v") == 0


async def test_a_duplicate_is_not_quoted(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("CREATE TABLE v (v VARCHAR(80) UNIQUE)")
        secret = "it's a secret' for key 'x"
        await db.execute("INSERT INTO v VALUES (?)", (secret,))
        with pytest.raises(SqlError, match="Duplicate entry for key 'v'") as caught:
            await db.execute("INSERT INTO v VALUES (?)", (secret,))
        assert "secret" not in str(caught.value)


async def test_dates_that_python_has_not_are_an_error(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("CREATE TABLE v (v DATE)")
        async with db.transaction() as session:
            await session.execute("SET sql_mode = ''")
            await session.execute("INSERT INTO v VALUES ('0000-00-00')")
        with pytest.raises(SqlError, match="'v'") as caught:
            await db.fetch_all("SELECT v FROM v")
        assert caught.value.sqlstate == "22008"
        assert await db.fetch_value("SELECT CAST(v AS CHAR) AS v FROM v") == "0000-00-00"
        with pytest.raises(SqlError, match="'v'"):
            async for _ in db.stream("SELECT v FROM v"):
                pass
        assert db.counts.discarded == 0


async def test_rows_by_name_lose_no_column(open_db: Opener) -> None:
    async with open_db() as db:
        for run in (db.fetch_all, db.fetch_one, db.fetch_value):
            with pytest.raises(SqlError) as caught:
                await run("SELECT 1 AS a, 2 AS a")
            assert caught.value.sqlstate == "42701"
        with pytest.raises(SqlError):
            await anext(db.stream("SELECT 1 AS a, 2 AS a"))


async def test_large_values_and_what_is_too_large(open_db: Opener) -> None:
    async with open_db(pool_size=1) as db:
        await db.execute("CREATE TABLE big (v LONGBLOB)")
        for size in ((1 << 24) - 20_000, 1 << 20):
            data = bytes(size)
            await db.execute("DELETE FROM big")
            assert await db.execute("INSERT INTO big VALUES (?)", (data,)) == 1
            assert len(await db.fetch_value("SELECT v FROM big")) == size
        with pytest.raises(SqlError, match="max_allowed_packet") as caught:
            await db.execute("INSERT INTO big VALUES (?)", (bytes(1 << 24),))
        assert caught.value.sqlstate == "54000"
        assert db.counts.discarded == 0


async def test_a_result_that_is_too_large_is_an_error_and_no_memory(open_db: Opener) -> None:
    async with open_db(pool_size=1, result_bytes=100_000) as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        wide = "SELECT repeat('x', 60000) AS v FROM t UNION ALL SELECT repeat('y', 60000) FROM t"
        with pytest.raises(SqlError, match="stream") as caught:
            await db.fetch_all(wide)
        assert caught.value.sqlstate == "54000"
        assert [len(row["v"]) async for row in db.stream(wide)] == [60000, 60000]
