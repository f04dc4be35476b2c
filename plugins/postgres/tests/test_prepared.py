"""What the server keeps prepared is bounded, and never out of date."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_postgres import PostgresConfig
from covet_postgres._database import PostgresDatabase
from covet_postgres._plugin import opened

Opener = Callable[..., AbstractAsyncContextManager[PostgresDatabase]]
KEPT = "SELECT count(*) FROM pg_prepared_statements"


async def test_how_many_are_kept_is_bounded(open_db: Opener) -> None:
    async with open_db(prepared_statements=5, lane_size=1, pool_size=1) as db:
        for _ in range(2):
            for number in range(30):
                assert await db.fetch_value(f"SELECT {number} AS n") == number
                assert await db.fetch_value(f"SELECT {number} AS n FROM pg_sleep(0)") == number
        assert await db.fetch_value(KEPT) <= 6
        assert db.counts.discarded == 0


async def test_none_are_kept_behind_a_pooler_or_if_none_are_wanted(open_db: Opener) -> None:
    for config in ({"pgbouncer": True}, {"prepared_statements": 0, "lane_size": 0}):
        async with open_db(**config) as db:
            for number in range(5):
                assert await db.fetch_value("SELECT CAST(? AS integer)", (number,)) == number
            async with db.transaction() as session:
                await session.execute("UPDATE t SET a = ?", (1,))
                assert await session.fetch_value(KEPT) == 0


async def test_tables_may_change_under_them(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        own = "SELECT * FROM t FOR UPDATE"
        for text in ("SELECT * FROM t", own):
            assert list((await db.fetch_all(text))[0]) == ["id", "a"]
        await db.execute("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'new'")
        for text in ("SELECT * FROM t", own):
            assert (await db.fetch_all(text))[0]["b"] == "new"
        await db.execute("ALTER TABLE t ALTER COLUMN a TYPE TEXT")
        for text in ("SELECT * FROM t", own):
            assert (await db.fetch_all(text))[0]["a"] == "1"
        assert db.counts.errors == 0


async def test_the_server_may_forget_them(open_db: Opener) -> None:
    async with open_db(pool_size=1) as db:
        text = "SELECT CAST(? AS integer) FROM pg_sleep(0)"
        assert await db.fetch_value(text, (1,)) == 1
        (connection,) = db.pool.idle
        await connection.link.ask(connection.link.run_text(b"DEALLOCATE ALL"))
        assert await db.fetch_value(text, (2,)) == 2


async def test_many_at_once_prepare_a_text_once(open_db: Opener) -> None:
    async with open_db(lane_size=1) as db:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(db.fetch_value, "SELECT CAST(? AS integer) AS once", (number,))
        kept = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE ?"
        assert await db.fetch_value(kept, ("%AS once",)) == 1


PIECES = {
    "'?'": "?",
    "'it''s :a'": "it's :a",
    r"E'\'?'": "'?",
    r"E'\\'": "\\",
    r"'\'": "\\",
    "$$?$$": "?",
    "$a$ ' ? $$ $a$": " ' ? $$ ",
    "U&'?'": "?",
    "'a'\n'?'": "a?",
    "E'a'\n'\\'?'": "a'?",
    "'x' /* ? ' /* :a */ $$ */": "x",
    "'x' -- ? ' $$\n": "x",
    "'5'::int::text": "5",
    "('{1,2,3}'::int[])[1:2]::text": "{1,2}",
    '(SELECT "?" FROM (VALUES (\'q\')) AS ":a"("?"))': "q",
    "('{\"k\": 1}'::jsonb ?? 'k')::text": "true",
    "(1 <> 2)::text": "true",
}
"""What PostgreSQL reads as something else than parameters, and what it says of it."""


@given(pieces=st.lists(st.sampled_from([*PIECES, "?"]), min_size=1, max_size=8))
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_texts_are_read_as_the_server_reads_them(url: str, pieces: list[str]) -> None:
    async def main() -> None:
        async with opened(PostgresConfig(url=url), "the test") as db:
            values = [f"value {n}" for n in range(pieces.count("?"))]
            given_values = iter(values)
            wanted = [PIECES.get(piece) or next(given_values) for piece in pieces]
            columns = ", ".join(
                f"{'CAST(? AS text)' if piece == '?' else piece} AS c{n}"
                for n, piece in enumerate(pieces)
            )
            row = await db.fetch_one(f"SELECT {columns}", values)
            assert row is not None
            assert list(row.values()) == wanted

    anyio.run(main)


async def test_a_text_that_cannot_be_sent_is_refused_each_time(open_db: Opener) -> None:
    async with open_db() as db:
        for _ in range(3):
            for run in (db.fetch_all, db.execute):
                with anyio.fail_after(10), pytest.raises(SqlError) as caught:
                    await run("SELECT '\ud800'")
                assert caught.value.sqlstate == "22021"
        assert db.counts.discarded == 0


@pytest.mark.parametrize(
    "text", ["", ";", "-- nothing", "SELECT 1; SELECT 2", "SELECT $1", "SELECT ?; x"]
)
async def test_texts_that_are_no_single_statement(open_db: Opener, text: str) -> None:
    async with open_db() as db:
        for run in (db.fetch_all, db.execute):
            with pytest.raises(SqlError):
                await run(text, ("a",) if "?" in text else ())
        assert db.counts.discarded == 0
