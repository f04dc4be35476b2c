"""Nobody is given what was there before a write that has ended."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_postgres import copy_rows
from covet_sql.cache import QueryCache, cached, invalidate
from covet_sql.cache._key import copied, key_of, weigh

READ = "SELECT id, title FROM books WHERE id = ?"
COUNT = "SELECT count(*) AS n FROM books"
CREATE = "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)"
INSERT = "INSERT INTO books VALUES (?, ?)"


async def fill(db: Any) -> None:
    await db.execute(CREATE)
    await db.execute("CREATE TABLE notes (id INTEGER)")
    await db.execute_many(INSERT, [(1, "one"), (2, "two")])


def runs(db: Any, text: str) -> int:
    count: int = db.profile.entry(text).count
    return count


async def test_a_result_is_kept_until_its_table_is_written_to(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        kept = cached(db, seconds=60)
        for _ in range(3):
            assert await kept.fetch_all(READ, (1,)) == [{"id": 1, "title": "one"}]
            assert await kept.fetch_one(READ, (2,)) == {"id": 2, "title": "two"}
            assert await kept.fetch_value(COUNT) == 2
        assert (runs(db, READ), runs(db, COUNT)) == (2, 1)
        await db.execute("INSERT INTO notes VALUES (1)")
        assert await kept.fetch_value(COUNT) == 2
        assert runs(db, COUNT) == 1
        await db.execute(INSERT, (3, "three"))
        assert await kept.fetch_value(COUNT) == 3
        await db.fetch_value("DELETE FROM books WHERE id = ? RETURNING id", (3,))
        assert await kept.fetch_value(COUNT) == 2
        await kept.execute_many(INSERT, [(4, "four")])
        assert await kept.fetch_value(COUNT) == 3
        assert await kept.execute("DELETE FROM books") == 3
        assert await kept.fetch_all(READ, (1,)) == []
        assert [row async for row in kept.stream(COUNT)] == [{"n": 0}]
        assert db.cache.hits > 0
        assert db.cache.invalidated > 0
        assert kept.dialect == db.dialect


async def test_results_cannot_be_changed_in_it(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        kept = cached(db, seconds=60)
        for _ in range(2):
            rows = await kept.fetch_all(READ, (1,))
            assert rows == [{"id": 1, "title": "one"}]
            rows[0]["title"] = "mine"
            rows.clear()


async def test_it_is_as_old_as_the_caller_allows(
    observing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("covet_sql.cache._store.monotonic", lambda: now[0])
    async with observing() as db:
        await fill(db)
        for seconds, expected in ((10, 1), (10, 1), (4, 2), (60, 2), (60, 2)):
            now[0] += 4.5
            await cached(db, seconds=seconds).fetch_value(COUNT)
            assert runs(db, COUNT) == expected
        now[0] += 60
        await cached(db, seconds=60).fetch_value(COUNT)
        assert runs(db, COUNT) == 3
        for wrong in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="seconds"):
                cached(db, seconds=wrong)


async def test_a_transaction_is_seen_when_it_has_committed(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        kept = cached(db, seconds=60)
        assert await kept.fetch_value(COUNT) == 2
        async with db.transaction() as session:
            inside = cached(session, seconds=60)
            assert inside is session
            await session.execute(INSERT, (3, "three"))
            assert await inside.fetch_value(COUNT) == 3
            assert db.has_written()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_sees, kept, 2)
        assert not db.has_written()
        assert await kept.fetch_value(COUNT) == 3
        with pytest.raises(LookupError):
            async with db.transaction() as session:
                await session.execute(INSERT, (4, "four"))
                raise LookupError
        assert await kept.fetch_value(COUNT) == 3


async def test_parts_of_a_transaction_are_seen_with_it(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        kept = cached(db, seconds=60)
        assert await kept.fetch_value(COUNT) == 2
        async with db.transaction() as session:
            async with session.transaction() as part:
                await part.execute(INSERT, (3, "three"))
                assert await cached(part, seconds=60).fetch_value(COUNT) == 3
            with pytest.raises(LookupError):
                async with session.transaction() as part:
                    await part.execute(INSERT, (4, "four"))
                    raise LookupError
        assert await kept.fetch_value(COUNT) == 3


@pytest.mark.parametrize("observing", ["postgresql"], indirect=True)
async def test_a_bulk_load_is_seen(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        kept = cached(db, seconds=60)
        assert await kept.fetch_value(COUNT) == 2
        await copy_rows(db, "books", ["id", "title"], [(7, "seven"), (8, "eight")])
        assert await kept.fetch_value(COUNT) == 4
        async with db.transaction() as session:
            await copy_rows(session, "books", ["id", "title"], [(9, "nine")])
        assert await kept.fetch_value(COUNT) == 5


async def _sees(kept: Any, expected: int) -> None:
    assert await kept.fetch_value(COUNT) == expected


async def test_who_has_written_reads_past_it(observing: Any) -> None:
    # Whether a second connection may be had inside a transaction is the driver's to say.
    async with observing() as db:
        await fill(db)
        kept = cached(db, seconds=60)
        assert await kept.fetch_value(COUNT) == 2
        async with db.transaction() as session:
            await session.fetch_value(COUNT)
            assert await kept.fetch_value(COUNT) == 2
            await session.execute(INSERT, (3, "three"))
            before = db.cache.bypassed
            if db.dialect == "mysql":
                with pytest.raises(SqlError, match="second"):
                    await kept.fetch_value(COUNT)
            else:
                assert await kept.fetch_value(COUNT) == 2
            assert db.cache.bypassed == before + 1


async def test_a_transaction_that_is_older_than_the_cache(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        async with db.transaction() as session:
            await session.execute(INSERT, (3, "three"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_sees, cached(db, seconds=60), 2)
            assert len(db.cache) == 0
        assert await cached(db, seconds=60).fetch_value(COUNT) == 3


async def test_changes_of_the_schema_are_seen(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        kept = cached(db, seconds=60)
        assert await kept.fetch_all(READ, (1,)) == [{"id": 1, "title": "one"}]
        await db.execute("ALTER TABLE books RENAME TO others")
        await db.execute("CREATE VIEW books AS SELECT id, 'v' AS title FROM others")
        assert await kept.fetch_all(READ, (1,)) == [{"id": 1, "title": "v"}]
        await db.execute("DELETE FROM others WHERE id = 1")
        assert await kept.fetch_all(READ, (1,)) == []


async def test_foreign_keys_carry_writes_on(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        await db.execute(
            "CREATE TABLE pages (n INTEGER, b INTEGER REFERENCES books (id) ON DELETE CASCADE)"
        )
        await db.execute_many("INSERT INTO pages VALUES (?, ?)", [(1, 1), (2, 2)])
        kept = cached(db, seconds=60)
        pages = "SELECT count(*) AS n FROM pages"
        assert await kept.fetch_value(pages) == 2
        await db.execute("DELETE FROM books WHERE id = 1")
        assert await kept.fetch_value(pages) == 1


async def test_what_is_not_only_read_is_refused(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        for text in ("DELETE FROM books", "DROP TABLE books", "SELECT id FROM books; SELECT 1"):
            with pytest.raises(SqlError) as caught:
                await cached(db, seconds=1).fetch_all(text)
            assert caught.value.sqlstate == "0A000"
        with pytest.raises(SqlError, match="object"):
            cached(object(), seconds=1)  # type: ignore[arg-type]
        assert await db.fetch_value(COUNT) == 2


async def test_it_can_be_told_of_other_writes(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        told: list[frozenset[str]] = []
        kept = cached(db, seconds=60)
        db.cache.on_write = told.append
        for tables in (("books",), ("Books",), ()):
            assert await kept.fetch_value(COUNT) == await db.inner.fetch_value(COUNT)
            await db.inner.execute("DELETE FROM books WHERE id = (SELECT max(id) FROM books)")
            assert await kept.fetch_value(COUNT) != await db.inner.fetch_value(COUNT)
            invalidate(db, *tables)
            assert await kept.fetch_value(COUNT) == await db.inner.fetch_value(COUNT)
            await db.inner.execute(INSERT, (5, "five")) if tables == ("books",) else None
            invalidate(db)
        assert told[0] == frozenset(["books"])


async def test_an_error_is_everybodys_and_is_not_kept(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        kept, caught = cached(db, seconds=60), []
        await kept.fetch_value(COUNT)
        text = "SELECT id FROM books WHERE id = (SELECT nothing FROM books)"

        async def ask() -> None:
            with pytest.raises(SqlError) as error:
                await kept.fetch_all(text)
            caught.append(error.value)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
        assert len({id(error) for error in caught}) == 5
        assert len({error.sqlstate for error in caught}) == 1
        assert runs(db, text) == 1
        assert len(db.cache) == 1


async def test_one_runs_for_all_who_ask_at_once(observing: Any) -> None:
    async with observing() as db:
        await fill(db)
        kept, results = cached(db, seconds=60), []

        async def ask() -> None:
            results.append(await kept.fetch_all(READ, (1,)))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask)
        assert results == [[{"id": 1, "title": "one"}]] * 50
        assert len({id(rows) for rows in results}) == 50
        assert runs(db, READ) == 1


async def test_it_stays_within_its_bounds(observing: Any) -> None:
    async with observing(cache_entries=3, cache_bytes=20_000) as db:
        await fill(db)
        kept = cached(db, seconds=60)
        for number in range(10):
            await kept.fetch_all(READ, (number,))
        assert len(db.cache) == 3
        assert db.cache.evicted == 7
        await kept.fetch_all(READ, (8,))
        await kept.fetch_all(READ, (99,))
        before = runs(db, READ)
        await kept.fetch_all(READ, (8,))  # was used last but one
        assert runs(db, READ) == before
        await db.execute(INSERT, (50, "x" * 3000))
        await kept.fetch_all(READ, (50,))
        assert len(db.cache) == 0
        assert db.cache.size == 0


async def test_values_that_have_no_key_are_read_each_time(observing: Any) -> None:
    class Number(int):
        pass

    async with observing() as db:
        await fill(db)
        if db.dialect == "sqlite":
            for _ in range(2):
                assert await cached(db, seconds=60).fetch_value(COUNT, {}) == 2
        assert key_of("all", READ, (Number(1),)) is None
        assert key_of("all", READ, "1") is None
        assert key_of("all", READ, ([[Number(1)]],)) is None


DIFFERENT: list[Any] = [1, 1.0, True, "1", b"1", None, 0.0, -0.0, [1], (1,), [1.0], [[1]], ["1"]]


def test_values_that_a_database_tells_apart_have_different_keys() -> None:
    keys = [key_of("all", READ, (each,)) for each in DIFFERENT]
    assert len(set(keys)) == len(DIFFERENT)
    named = [key_of("all", READ, {"a": each}) for each in DIFFERENT]
    assert len({*keys, *named}) == 2 * len(DIFFERENT)
    assert key_of("all", READ, {"a": 1, "b": 2}) != key_of("all", READ, {"b": 1, "a": 2})
    assert key_of("all", READ, (1,)) != key_of("one", READ, (1,))


NAMES = st.sampled_from(["a", "b", "c"])
VALUES: Any = st.recursive(
    st.none() | st.integers() | st.sampled_from(["", "text", b"bytes", 1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(NAMES, VALUES), max_size=4))
def test_copies_are_equal_and_share_nothing_that_changes(rows: Any) -> None:
    def mutable(value: Any) -> set[int]:
        if isinstance(value, list):
            return {id(value)}.union(*map(mutable, value))
        if isinstance(value, dict):
            return {id(value)}.union(*map(mutable, value.values()))
        return set()

    copy = copied(rows)
    assert copy == rows
    assert not mutable(copy) & mutable(rows)
    assert weigh(rows) > 0


def test_a_result_nested_without_end_is_too_much() -> None:
    value: Any = []
    for _ in range(100):
        value = [value]
    assert weigh(value) > 1 << 39


def test_its_texts_are_bounded() -> None:
    database: Any = type("Database", (), {"dialect": "sqlite"})()
    cache = QueryCache(database)
    for number in range(2100):
        cache.touched_by(f"SELECT {number}")
    assert len(cache._touched) <= 2000
