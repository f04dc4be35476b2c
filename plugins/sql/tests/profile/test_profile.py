"""Every statement counts under its shape, however it ends, and no value is ever seen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from time import perf_counter
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import Params, Row, SqlError
from covet_kernel.testing import cancel_at_every_await
from covet_sql.profile import Entry, ObservedDatabase, Profile

INSERT = "INSERT INTO books (id, title) VALUES (:id, :title)"
CREATE = "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)"
SECRET = "s3cr3t"


def entry(db: ObservedDatabase, text: str) -> Entry:
    return db.profile.entry(text)


async def fill(db: ObservedDatabase, count: int = 3) -> None:
    await db.execute(CREATE)
    await db.execute_many(INSERT, [{"id": n, "title": f"title {n}"} for n in range(count)])


async def test_each_way_to_run_a_statement_counts(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        assert len(await db.fetch_all("SELECT id FROM books WHERE id < ?", (2,))) == 2
        assert len(await db.fetch_all("SELECT id FROM books WHERE id < 3")) == 3
        few = entry(db, "SELECT id FROM books WHERE id < 9")
        assert (few.count, few.rows, few.errors) == (2, 5, 0)
        assert few.seconds >= few.slowest > 0
        assert sum(few.counts) == 2
        await db.fetch_one("SELECT title FROM books WHERE id = ?", (1,))
        await db.fetch_one("SELECT title FROM books WHERE id = ?", (7,))
        await db.fetch_value("SELECT title FROM books WHERE id = ?", (2,))
        one = entry(db, "SELECT title FROM books WHERE id = ?")
        assert (one.count, one.rows) == (3, 2)
        changed = "UPDATE books SET title = ? WHERE id > ?"
        assert await db.execute(changed, ("t", 0)) == 2
        assert entry(db, changed).rows == 2
        many = entry(db, INSERT)
        assert (many.count, many.rows) == (1, 3)


async def test_a_stream_counts_once_without_the_time_of_its_reader(observing: Any) -> None:
    text = "SELECT id FROM books ORDER BY id"
    async with observing() as db:
        await fill(db, 30)
        begun = perf_counter()
        async with aclosing(db.stream(text)) as rows:
            async for row in rows:
                if row["id"] == 0:
                    await anyio.sleep(0.05)
                if row["id"] == 9:
                    break
        left = entry(db, text)
        assert left.seconds <= perf_counter() - begun - 0.04
        assert (left.count, left.rows, left.errors, left.cancelled) == (1, 10, 0, 0)
        assert [row["id"] async for row in db.stream(text)] == list(range(30))
        assert (left.count, left.rows) == (2, 40)
        with pytest.raises(SqlError):
            [row async for row in db.stream("SELECT id FROM nowhere")]
        assert entry(db, "SELECT id FROM nowhere").errors == 1


async def test_transactions_count_and_so_do_their_statements(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        async with db.transaction() as session:
            assert await session.fetch_value("SELECT count(*) FROM books") == 3
            await session.execute(INSERT, {"id": 7, "title": "t"})
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                await session.execute(INSERT, {"id": 8, "title": "t"})
                raise LookupError
        assert await db.fetch_value("SELECT count(*) FROM books") == 4
        assert entry(db, "SELECT count(*) FROM books").count == 2
        assert [entry(db, each).count for each in ("BEGIN", "COMMIT", "ROLLBACK")] == [2, 1, 1]
        assert session.dialect == db.dialect


async def test_what_is_refused_counts_as_an_error(observing: Any) -> None:
    async with observing() as db:
        for run in (db.fetch_all, db.fetch_one, db.fetch_value, db.execute):
            with pytest.raises(SqlError):
                await run("SELECT a FROM nowhere")
        with pytest.raises(SqlError):
            await db.execute_many("INSERT INTO nowhere VALUES (?)", [(1,)])
        refused = entry(db, "SELECT a FROM nowhere")
        assert (refused.count, refused.errors, refused.cancelled) == (4, 4, 0)
        assert entry(db, "INSERT INTO nowhere VALUES (?)").errors == 1


async def test_cancelled_at_every_await_each_statement_counts_once(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        text = "SELECT id FROM books"
        runs = 0

        async def work() -> None:
            nonlocal runs
            runs += 1
            async with db.transaction() as session:
                await session.fetch_all(text)

        await cancel_at_every_await(work)
        found = entry(db, text)
        assert 0 < found.cancelled < found.count <= runs
        begun, ended = entry(db, "BEGIN"), (entry(db, "COMMIT"), entry(db, "ROLLBACK"))
        assert begun.count == runs
        assert begun.count - begun.cancelled == sum(each.count for each in ended)
        assert await db.fetch_value("SELECT count(*) FROM books") == 3


async def test_waiting_for_a_connection_is_told_apart(observing: Any) -> None:
    config = {} if observing.dialect == "sqlite" else {"pool_size": 1}
    async with observing(config) as db:
        await fill(db)
        pool = db.writer if observing.dialect == "sqlite" else db.pool
        text = "UPDATE books SET title = ?"
        async with anyio.create_task_group() as tasks:
            async with db.transaction():
                tasks.start_soon(db.execute, text, ("t",))
                while not pool.waiting:
                    await anyio.lowlevel.checkpoint()
                await anyio.sleep(0.05)
        waited = entry(db, text)
        assert waited.waits == 1
        assert 0.04 < waited.waited <= waited.seconds
        assert not db.profile.waits


async def test_values_are_nowhere_in_a_report(observing: Any) -> None:
    async with observing(slow=1e-9, record=True) as db:
        await fill(db)
        await db.execute(INSERT, {"id": 99, "title": SECRET})
        await db.fetch_all("SELECT id FROM books WHERE title = :title", {"title": SECRET})
        await db.fetch_all("SELECT id FROM books WHERE title IN (?, ?)", (SECRET, SECRET))
        with pytest.raises(SqlError):
            await db.execute(INSERT, {"id": 99, "title": SECRET})
        assert SECRET not in json.dumps(db.profile.report())


class Nothing:
    """A database that answers at once."""

    dialect = "sqlite"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        self.asked.append(sql)
        return []

    async def stream(self, sql: str, params: Params = ()) -> AsyncIterator[Row]:
        yield {}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@given(st.lists(st.integers(0, 60), max_size=300))
@settings(max_examples=50)
def test_shapes_that_leave_are_added_up(numbers: list[int]) -> None:
    profile = Profile("sqlite", limit=10)
    for number in numbers:
        profile.ran(f"SELECT a{number} FROM t", perf_counter(), 1)
    assert len(profile.entries) <= 10
    assert len(profile._texts) <= 40
    assert profile.total("count") == profile.total("rows") == len(numbers)
    assert sum(profile.latency().counts) == len(numbers)
    assert sum(each["count"] for each in profile.report()) == len(numbers)


async def test_texts_made_of_values_take_no_more_memory_than_others() -> None:
    inner: Any = Nothing()
    db = ObservedDatabase("sqlite", inner, Profile("sqlite", limit=10))
    for number in range(500):
        await db.fetch_all(f"SELECT a FROM t WHERE id = {number}")
    await db.fetch_all(f"SELECT '{'x' * 1_000_000}'")
    assert set(db.profile.entries) == {"SELECT a FROM t WHERE id = ?", "SELECT ?..."}
    assert len(db.profile._texts) <= 40
    assert sum(map(len, db.profile._texts)) < 10_000
    assert len(inner.asked) == 501


def test_long_texts_take_no_more_memory_than_short_ones() -> None:
    profile = Profile("sqlite")
    for number in range(100):
        profile.ran(f"SELECT {number}{' ' * 90_000}", perf_counter(), 1)
    assert sum(map(len, profile._texts)) <= 1 << 22
    assert profile.total("count") == 100


async def test_waits_of_nobody_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile("sqlite")
    profile.waited(1.0)  # for something that is not profiled
    monkeypatch.setattr("covet_sql.profile._profile.STALE", -1.0)

    async def others() -> None:
        for _ in range(256):
            profile.ran("SELECT 1", perf_counter(), 1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
    assert not profile.waits
    assert profile.entry("SELECT 1").waits == 0
