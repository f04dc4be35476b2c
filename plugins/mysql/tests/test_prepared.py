"""What the server keeps prepared is bounded, and never out of date."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_mysql import MysqlConfig
from covet_mysql._database import MysqlDatabase
from covet_mysql._plugin import opened

Opener = Callable[..., AbstractAsyncContextManager[MysqlDatabase]]
PREPARED = "SHOW SESSION STATUS LIKE 'Com_stmt_prepare'"
CLOSED = "SHOW SESSION STATUS LIKE 'Com_stmt_close'"


async def status(db: MysqlDatabase, text: str) -> int:
    row = await db.fetch_one(text)
    assert row is not None
    return int(row["Value"])


async def test_how_many_are_kept_is_bounded(open_db: Opener) -> None:
    async with open_db(prepared_statements=5, pool_size=1) as db:
        for _ in range(2):
            for number in range(30):
                assert await db.fetch_value(f"SELECT {number} AS n") == number
                await db.execute_many("DO ?", [(1,)])
                assert [row async for row in db.stream("SELECT 1 AS a")] == [{"a": 1}]
        made, closed = await status(db, PREPARED), await status(db, CLOSED)
        # And the two that ask.
        assert made - closed <= 7
        assert db.counts.discarded == 0


async def test_a_text_is_prepared_once_for_a_connection(open_db: Opener) -> None:
    async with open_db(pool_size=1) as db:
        before = await status(db, PREPARED)
        for number in range(20):
            assert await db.fetch_value("SELECT ? AS once", (number,)) == number
        # The text, and the question before and after.
        assert await status(db, PREPARED) - before == 2


async def test_tables_may_change_under_them(open_db: Opener) -> None:
    async with open_db(pool_size=1) as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        text = "SELECT * FROM t"
        assert list((await db.fetch_all(text))[0]) == ["id", "a"]
        await db.execute("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'new'")
        assert (await db.fetch_all(text))[0]["b"] == "new"
        await db.execute("ALTER TABLE t MODIFY COLUMN a VARCHAR(10)")
        assert (await db.fetch_all(text))[0]["a"] == "1"
        assert [row["a"] async for row in db.stream(text)] == ["1"]
        assert db.counts.errors == 0


async def test_what_cannot_be_prepared_for_long_is_run_all_the_same(open_db: Opener) -> None:
    async with open_db() as db:
        names = {row["Field"] for row in await db.fetch_all("DESCRIBE t")}
        assert names == {"id", "a"}
        assert await db.fetch_all("EXPLAIN SELECT * FROM t")
        assert await db.fetch_all("CHECK TABLE t")
        assert await db.execute("TRUNCATE TABLE t") == 0


async def test_procedures_may_have_several_results(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute(
            "CREATE PROCEDURE two (IN n INTEGER) BEGIN INSERT INTO t (a) VALUES (n);"
            " SELECT n AS first; SELECT n + 1 AS second, 3 AS more; END"
        )
        assert await db.fetch_all("CALL two(?)", (5,)) == [{"first": 5}]
        assert await db.fetch_all("CALL two(:n)", {"n": 6}) == [{"first": 6}]
        assert await db.fetch_value("SELECT count(*) FROM t") == 2


async def test_rows_that_come_back_are_counted(open_db: Opener) -> None:
    async with open_db() as db:
        text = "INSERT INTO t (a) VALUES (?), (?) RETURNING a"
        assert await db.execute(text, (1, 2)) == 2
        assert await db.fetch_all(text, (3, 4)) == [{"a": 3}, {"a": 4}]
        assert await db.execute_many("INSERT INTO t (a) VALUES (?) RETURNING id", [(5,), (6,)]) == 2
        assert await db.execute("DELETE FROM t RETURNING a") == 6


PIECES = {
    "'?'": "?",
    "'it''s :a'": "it's :a",
    r"'\'": "\\",
    r"'\\'": "\\\\",
    "'a' '?'": "a?",
    "'a'\n'?'": "a?",
    "_utf8mb4':a'": ":a",
    "N'?'": "?",
    "'x' /* ? ' /* :a */": "x",
    "'x' -- ? ' $$\n": "x",
    "'x' # ? ' :a\n": "x",
    "'x'/*! || 'y' */": "xy",
    "'x'/*!999999 || ? */": None,
    '(SELECT ":?" FROM (SELECT \'q\' AS ":?") AS "a?")': "q",
    "(SELECT `:?` FROM (SELECT 'q' AS `:?`) AS `a?`)": "q",
    "CAST(5--1 AS CHAR)": "6",
    "'a' || 'b'": "ab",
}
"""What the server reads as something else than parameters, and what it says of it."""
SKIPPED = {text for text, value in PIECES.items() if value is None}


@given(pieces=st.lists(st.sampled_from([*(PIECES.keys() - SKIPPED), "?"]), min_size=1, max_size=8))
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_texts_are_read_as_the_server_reads_them(url: str, pieces: list[str]) -> None:
    async def main() -> None:
        async with opened(MysqlConfig(url=url), "the test") as db:
            values = [f"value {n}" for n in range(pieces.count("?"))]
            given_values = iter(values)
            wanted = [PIECES.get(piece) or next(given_values) for piece in pieces]
            columns = ", ".join(f"{piece} AS c{n}" for n, piece in enumerate(pieces))
            row = await db.fetch_one(f"SELECT {columns}", values)
            assert row is not None
            assert list(row.values()) == wanted

    anyio.run(main)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM t",
        *SKIPPED,
        "SELECT ??",
        "SELECT :a, ?",
    ],
)
async def test_texts_that_are_no_single_statement(open_db: Opener, text: str) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        for run in (db.fetch_all, db.execute):
            with pytest.raises(SqlError):
                await run(text, {"a": 1} if ":a" in text else ("a",) if text in SKIPPED else ())
        assert db.counts.discarded == 0
        assert await db.fetch_value("SELECT count(*) FROM t") == 1
