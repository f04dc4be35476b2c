"""Point reads on the event loop: which texts are, that they read what a thread reads, and their bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import Row, SqlError
from covet_sqlite import SqliteConfig
from covet_sqlite._database import SqliteDatabase
from covet_sqlite._points import MOST_BYTES, TEXTS, TURN, is_point_read

Opener = Callable[..., AbstractAsyncContextManager[SqliteDatabase]]

BY_ID = "SELECT id, a FROM t WHERE id = ?"
SCHEMA = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b, body TEXT);
    CREATE INDEX t_b ON t (b);
    CREATE TABLE pairs (x, y, z, PRIMARY KEY (x, y)) WITHOUT ROWID;
    CREATE VIEW one AS SELECT id, a FROM t;
    CREATE VIRTUAL TABLE words USING fts5 (word);
"""


async def warm(db: SqliteDatabase, sql: str, params: Sequence[Any] = (1,)) -> None:
    """Run a text as often as it takes to be known, and once more."""
    for _ in range(3):
        await db.fetch_all(sql, params)


async def inline(db: SqliteDatabase, sql: str, params: Sequence[Any] = (1,)) -> bool:
    """Whether a text is read on the event loop."""
    before = db.points.done
    await db.fetch_all(sql, params)
    return db.points.done > before


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM t WHERE id = ?", True),
        ("SELECT a FROM t WHERE rowid = ?", True),
        ("SELECT id FROM t WHERE a = ?", True),
        ("SELECT count(*) AS n FROM t WHERE b = ?", True),
        ("SELECT coalesce(a, upper(b)) AS x FROM t WHERE id = ?", True),
        ("SELECT z FROM pairs WHERE y = ? AND x = 2", True),
        ("SELECT a FROM one WHERE id = ?", True),
        ("SELECT t.a, pairs.z FROM t JOIN pairs ON x = t.a AND y = t.id WHERE t.id = ?", True),
        ("SELECT t.a, u.a AS ua FROM t LEFT JOIN t AS u ON u.id = t.b WHERE t.id = ?", True),
        ("SELECT * FROM t WHERE id > ?", False),
        ("SELECT * FROM t WHERE id < ? AND b = 1", False),
        ("SELECT * FROM t WHERE body = ?", False),
        ("SELECT * FROM t LIMIT ?", False),
        ("SELECT ? AS one", False),
        ("SELECT * FROM t WHERE id = ? OR a = 3", False),
        ("SELECT * FROM t WHERE b = ? ORDER BY body", False),
        ("SELECT id FROM t WHERE id = ? UNION SELECT id FROM t WHERE id = 2", False),
        ("SELECT id, (SELECT count(*) FROM t) AS n FROM t WHERE id = ?", False),
        ("SELECT t.id, u.a FROM t, t AS u WHERE t.id = ?", False),
        ("SELECT id FROM t WHERE id = ? AND body LIKE '%a%a%'", False),
        ("SELECT id FROM t WHERE id = ? AND body GLOB '*a*'", False),
        ("SELECT length(randomblob(100000000)) AS n FROM t WHERE id = ?", False),
        ("SELECT printf('%1000000d', id) AS s FROM t WHERE id = ?", False),
        ("SELECT word FROM words WHERE words MATCH ?", False),
        ("EXPLAIN SELECT * FROM t WHERE id = ?", False),
        ("VALUES (?)", False),
    ],
)
def test_what_a_point_read_is(sql: str, expected: bool) -> None:
    raw = apsw.Connection(":memory:")
    raw.execute(SCHEMA)
    try:
        try:
            assert is_point_read(raw, sql, (1,)) is expected
        except apsw.SQLError:
            assert not expected
        assert raw.authorizer is None
    finally:
        raw.close()


async def test_a_text_is_read_inline_once_it_has_come_twice(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES ('one')")
        assert [await inline(db, BY_ID) for _ in range(4)] == [False, False, True, True]
        assert await db.fetch_one(BY_ID, (1,)) == {"id": 1, "a": "one"}
        assert await db.fetch_value("SELECT a FROM t WHERE id = :id", {"id": 1}) == "one"
        assert await db.fetch_one(BY_ID, (2,)) is None
        assert await db.fetch_all(BY_ID, (2,)) == []
        assert not await inline(db, "SELECT id, a FROM t WHERE id = 1", ())
        assert db.counts.statements == 11  # the table's, the row's, and these


async def test_what_is_committed_is_read_at_once(open_db: Opener, tmp_path: Path) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (0)")
        await warm(db, BY_ID)
        for number in range(1, 30):
            async with db.transaction() as session:
                await session.execute("UPDATE t SET a = ?", (number,))
                assert await db.fetch_value(BY_ID.replace("id, ", ""), (1,)) == number - 1
                assert await db.fetch_one(BY_ID, (1,)) == {"id": 1, "a": number - 1}
            assert await db.fetch_one(BY_ID, (1,)) == {"id": 1, "a": number}
        other = apsw.Connection(str(tmp_path / "app.db"))
        other.execute("UPDATE t SET a = 'of another process'")
        other.close()
        assert await db.fetch_one(BY_ID, (1,)) == {"id": 1, "a": "of another process"}
        assert await inline(db, BY_ID)


KEYS = st.none() | st.integers(-5, 30) | st.sampled_from([1.0, 2.5, "3", "a3", b"a3", "", True])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "SELECT id, a, b FROM t2 WHERE id = ?",
                    "SELECT id, a, b FROM t2 WHERE a = ?",
                    "SELECT id, b FROM t2 WHERE b = ?",
                    "SELECT count(*) AS n, max(id) AS most FROM t2 WHERE b = ?",
                    "SELECT u.id, v.a FROM t2 AS u LEFT JOIN t2 AS v ON v.id = u.b WHERE u.id = ?",
                ]
            ),
            KEYS,
        ),
        min_size=20,
        max_size=60,
    )
)
def test_they_read_what_a_thread_reads(
    tmp_path_factory: pytest.TempPathFactory, reads: list[tuple[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("db") / "app.db"

    async def rows_of(**config: Any) -> tuple[list[list[Row]], int]:
        db = SqliteDatabase(path, SqliteConfig(**config))
        try:
            await db.open()
            await db.execute(
                "CREATE TABLE IF NOT EXISTS t2 (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b INTEGER)"
            )
            await db.execute("CREATE INDEX IF NOT EXISTS t2_b ON t2 (b)")
            await db.execute("DELETE FROM t2")
            await db.execute_many(
                "INSERT INTO t2 VALUES (?, ?, ?)", [(n, f"a{n}", n % 4) for n in range(20)]
            )
            return [await db.fetch_all(sql, (key,)) for sql, key in reads], db.points.done
        finally:
            await db.close()

    found, some = anyio.run(rows_of)
    threads, none = anyio.run(lambda: rows_of(inline_steps=0))
    assert found == threads
    assert some
    assert not none


async def test_a_text_that_takes_too_many_steps_is_read_in_a_thread(open_db: Opener) -> None:
    sql = "SELECT id FROM u WHERE b = ?"
    async with open_db(inline_steps=200) as db:
        await db.execute("CREATE TABLE u (id INTEGER PRIMARY KEY, b)")
        await db.execute("CREATE INDEX u_b ON u (b)")
        await db.execute_many("INSERT INTO u (b) VALUES (?)", [(n // 5000,) for n in range(5003)])
        await warm(db, sql)
        assert await inline(db, sql)
        assert len(await db.fetch_all(sql, (0,))) == 5000
        assert not await inline(db, sql)  # for good


async def test_long_values_are_read_in_a_thread(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (?)", ("x" * (MOST_BYTES // 2),))
        await warm(db, BY_ID)
        assert await inline(db, BY_ID)
        await db.execute("INSERT INTO t (a) VALUES (?)", ("y" * MOST_BYTES * 2,))
        assert await db.fetch_one(BY_ID, (2,)) == {"id": 2, "a": "y" * MOST_BYTES * 2}
        assert not await inline(db, BY_ID)


async def test_a_key_that_goes_does_not_stall_the_loop(open_db: Opener) -> None:
    sql = "SELECT id FROM u WHERE b = ?"
    async with open_db(inline_steps=200) as db:
        await db.execute("CREATE TABLE u (id INTEGER PRIMARY KEY, b)")
        await db.execute("CREATE INDEX u_b ON u (b)")
        await db.execute_many("INSERT INTO u (b) VALUES (?)", [(n,) for n in range(5000)])
        await warm(db, sql)
        assert await inline(db, sql)
        await db.execute("DROP INDEX u_b")
        assert await db.fetch_all(sql, (4999,)) == [{"id": 5000}]
        assert not await inline(db, sql)


async def test_columns_that_change_are_seen(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        await warm(db, "SELECT * FROM t WHERE id = ?")
        await db.execute("ALTER TABLE t ADD COLUMN more DEFAULT 7")
        assert await db.fetch_one("SELECT * FROM t WHERE id = ?", (1,)) == {
            "id": 1,
            "a": 1,
            "more": 7,
        }
        await db.execute("DROP TABLE t")
        with pytest.raises(SqlError, match="no such table"):
            await db.fetch_one("SELECT * FROM t WHERE id = ?", (1,))


@pytest.mark.parametrize("params", [(), (1, 2), (object(),), {"x": 1}, (2**70,), ("\ud800",)])
async def test_wrong_parameters_are_said_to_be_wrong_in_the_same_words(
    open_db: Opener, params: Any
) -> None:
    said = []
    for config in ({}, {"inline_steps": 0}):
        async with open_db(**config) as db:
            await db.execute("INSERT INTO t (a) VALUES (1)")
            await warm(db, BY_ID)
            with pytest.raises(SqlError) as caught:
                await db.fetch_one(BY_ID, params)
            said.append((type(caught.value), caught.value.sqlstate, str(caught.value)))
            await db.execute("DROP TABLE t")
    assert said[0] == said[1]


async def test_others_have_their_turn(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        await warm(db, BY_ID)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count)
            for _ in range(TURN * 10):
                assert await inline(db, BY_ID)
            tasks.cancel_scope.cancel()
        assert turns >= 9


async def test_a_cancelled_task_reads_nothing(open_db: Opener) -> None:
    async with open_db() as db:
        await db.execute("INSERT INTO t (a) VALUES (1)")
        await warm(db, BY_ID)
        before = db.points.done
        with anyio.CancelScope() as scope:
            scope.cancel()
            await db.fetch_one(BY_ID, (1,))
        assert scope.cancelled_caught
        assert db.points.done == before


async def test_memory_has_none(anyio_backend_name: str) -> None:
    db = SqliteDatabase(None, SqliteConfig())
    try:
        await db.open()
        await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        await warm(db, BY_ID)
        assert not await inline(db, BY_ID)
    finally:
        await db.close()


async def test_texts_are_remembered_in_bounded_number(open_db: Opener) -> None:
    async with open_db() as db:
        await warm(db, BY_ID)
        for number in range(TEXTS + 10):
            await db.fetch_all(f"SELECT id FROM t WHERE id = {number}")
        assert len(db.points._known) <= TEXTS
        assert not await inline(db, BY_ID)  # forgotten, and learnt again
        await warm(db, BY_ID)
        assert await inline(db, BY_ID)


async def test_after_the_end_there_is_none(open_db: Opener) -> None:
    async with open_db() as db:
        await warm(db, BY_ID)
    with pytest.raises(SqlError, match="closed"):
        await db.fetch_all(BY_ID, (1,))
    raw = apsw.Connection(":memory:")
    raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    db.points.prove(raw, BY_ID, (1,))  # of a thread that was late
    raw.close()
    assert db.points._raw is None
