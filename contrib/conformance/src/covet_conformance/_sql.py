"""What every `SqlDatabase` has to pass."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, cast, get_args

import anyio
import anyio.lowlevel
import pytest

from covet_conformance._waiting import cancelled_everywhere, settled, within
from covet_kernel.contracts import (
    Isolation,
    SqlConflictError,
    SqlDatabase,
    SqlError,
    SqlIntegrityError,
    SqlSession,
)

SLOW = {
    "sqlite": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": "SELECT sleep(600)",
}
BLOB = {"sqlite": "BLOB", "postgresql": "BYTEA", "mysql": "LONGBLOB"}
COUNT = "SELECT count(*) FROM items"
INSERT = "INSERT INTO items (id, name) VALUES (?, ?)"
IDS = "SELECT id FROM items ORDER BY id"


class Oops(Exception):
    """What a block of the caller's raises."""


class SqlDatabaseSuite:
    """Subclass it as ``Test...`` and implement `open`; the tests make tables of their own.

    Attributes:
        patience: Seconds after which something that must end is taken to hang.
    """

    patience: float = 10.0

    def open(self) -> AbstractAsyncContextManager[SqlDatabase]:
        """An empty database for one test, closed after the block."""
        raise NotImplementedError

    def slow_statement(self, db: SqlDatabase) -> str:
        """A query that runs for minutes unless it is cancelled."""
        return SLOW[db.dialect]

    def blob_type(self, db: SqlDatabase) -> str:
        """The type of a column of bytes."""
        return BLOB[db.dialect]

    @asynccontextmanager
    async def items(self) -> AsyncIterator[SqlDatabase]:
        """A database with the table the tests use, empty."""
        async with self.open() as db:
            await db.execute(
                "CREATE TABLE items (id INTEGER PRIMARY KEY, name VARCHAR(200) UNIQUE,"
                f" amount INTEGER NOT NULL DEFAULT 0 CHECK (amount >= 0), data {self.blob_type(db)})"
            )
            yield db

    async def seeded(self, db: SqlSession, many: int = 3) -> None:
        """Rows 1 to ``many``, called n1, n2, and so on."""
        await db.execute_many(INSERT, [(n, f"n{n}") for n in range(1, many + 1)])

    # Statements

    async def test_rows_are_dicts_in_the_order_asked_for(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            rows = await db.fetch_all("SELECT id, name FROM items ORDER BY id DESC")
            assert rows == [{"id": n, "name": f"n{n}"} for n in (3, 2, 1)]
            assert list(rows[0]) == ["id", "name"]
            assert await db.fetch_all("SELECT id FROM items WHERE id > 3") == []

    async def test_the_first_row_or_none(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            query = "SELECT id, name FROM items WHERE id >= ? ORDER BY id"
            assert await db.fetch_one(query, (2,)) == {"id": 2, "name": "n2"}
            assert await db.fetch_one(query, (4,)) is None

    async def test_the_first_value_or_none(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            query = "SELECT name, id FROM items WHERE id >= ? ORDER BY id"
            assert await db.fetch_value(query, (2,)) == "n2"
            assert await db.fetch_value(query, (4,)) is None
            assert await db.fetch_value("SELECT data FROM items WHERE id = 1") is None

    async def test_parameters_by_place_and_by_name(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            assert await db.fetch_value("SELECT id FROM items WHERE name = ?", ["n2"]) == 2
            query = "SELECT id FROM items WHERE name = :name OR (id = :id AND name = :name)"
            assert await db.fetch_value(query, {"id": 7, "name": "n3"}) == 3

    async def test_a_parameter_may_stand_wherever_a_value_may(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            await db.execute(INSERT, (4, r"100\% of_it"))
            values = {"pattern": r"%\\\%%", "limit": 2, "offset": 0}
            page = (
                r"SELECT id FROM items WHERE name LIKE :pattern ESCAPE '\'"
                r" OR (id > 9 AND name LIKE :pattern ESCAPE '\')"
                " ORDER BY id LIMIT :limit OFFSET :offset"
            )
            assert await db.fetch_all(page, values) == [{"id": 4}]
            assert await db.fetch_all(page, {**values, "offset": 1}) == []
            change = "UPDATE items SET amount = coalesce(:nothing, amount) WHERE id = :id"
            assert await db.execute(change, {"nothing": None, "id": 4}) == 1
            copy = "INSERT INTO items (id, name) SELECT :id, :name FROM items WHERE id = :from"
            assert await db.execute(copy, {"id": 5, "name": "n5", "from": 4}) == 1
            assert await db.execute(copy, {"id": 6, "name": "n6", "from": 7}) == 0

    async def test_what_looks_like_a_parameter_in_a_text_is_none(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            query = "SELECT '?' AS a, ':x' AS b, 'it''s ?' AS c FROM items WHERE id = ? -- ? :y"
            assert await db.fetch_one(query, (1,)) == {"a": "?", "b": ":x", "c": "it's ?"}

    async def test_a_missing_or_extra_parameter_is_an_error(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            for params in ((), (1,), (1, 2, 3), {"a": 1}):
                with pytest.raises(SqlError):
                    await db.fetch_all("SELECT id FROM items WHERE id IN (?, ?)", params)
            with pytest.raises(SqlError):
                await db.fetch_all("SELECT id FROM items WHERE id IN (:a, :b)", {"a": 1})
            assert await db.fetch_value(COUNT) == 3

    async def test_values_are_data(self) -> None:
        hostile = [
            "'; DROP TABLE items; --",
            '"',
            "\\",
            "?",
            ":name",
            "%s",
            "$1",
            "n\u00e9\U0001f4da\n",
        ]
        async with self.items() as db:
            for number, text in enumerate(hostile):
                await db.execute(INSERT, (number, text))
                assert (
                    await db.fetch_value("SELECT id FROM items WHERE name = ?", (text,)) == number
                )
            assert await db.fetch_value(COUNT) == len(hostile)

    async def test_values_come_back(self) -> None:
        values: list[Any] = [0, -1, 2**31 - 1, -(2**31), None]
        async with self.items() as db:
            for number in values:
                await db.execute("UPDATE items SET amount = 0")
                await db.execute("DELETE FROM items")
                await db.execute("INSERT INTO items (id, data) VALUES (1, ?)", (b"\x00\xff'",))
                assert bytes(await db.fetch_value("SELECT data FROM items")) == b"\x00\xff'"
                if number is not None and number >= 0:
                    await db.execute("UPDATE items SET amount = ?", (number,))
                    assert await db.fetch_value("SELECT amount FROM items") == number
                await db.execute("UPDATE items SET name = ?", (None,))
                assert await db.fetch_value("SELECT name FROM items") is None

    async def test_the_number_of_rows_changed(self) -> None:
        async with self.items() as db:
            assert await db.execute(INSERT, (1, "a")) == 1
            assert await db.execute(INSERT, (2, "b")) == 1
            assert await db.execute("UPDATE items SET amount = 5") == 2
            assert await db.execute("UPDATE items SET amount = 6 WHERE id = 3") == 0
            assert await db.execute("CREATE TABLE other (id INTEGER)") == 0
            assert await db.execute("DELETE FROM items") == 2

    async def test_many_rows_of_parameters(self) -> None:
        def rows() -> Iterator[tuple[int, str]]:
            for number in range(1200):
                yield number, f"n{number}"

        async with self.items() as db:
            assert await db.execute_many(INSERT, rows()) == 1200
            assert await db.execute_many("UPDATE items SET amount = 1 WHERE id = :id", []) == 0
            changes = [{"id": 1}, {"id": 5000}, {"id": 2}]
            assert await db.execute_many("UPDATE items SET amount = 1 WHERE id = :id", changes) == 2
            assert await db.fetch_value(COUNT) == 1200

    async def test_many_rows_are_stored_all_or_none(self) -> None:
        async with self.items() as db:
            with pytest.raises(SqlIntegrityError):
                await db.execute_many(INSERT, [(1, "a"), (2, "b"), (3, "a")])
            assert await db.fetch_value(COUNT) == 0

            def broken() -> Iterator[tuple[int, str]]:
                yield 1, "a"
                raise Oops

            with pytest.raises(Oops):
                await db.execute_many(INSERT, broken())
            assert await db.fetch_value(COUNT) == 0

    async def test_a_text_holds_one_statement(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            for text in ("DELETE FROM items; SELECT 1", "SELECT 1; DELETE FROM items"):
                for run in (db.execute, db.fetch_all, db.fetch_one, db.fetch_value):
                    with pytest.raises(SqlError):
                        await run(text)
                with pytest.raises(SqlError):
                    async with aclosing(db.stream(text)) as rows:
                        async for _ in rows:
                            pass
            assert await db.fetch_value(COUNT) == 3

    # Streams

    async def test_a_stream_gives_every_row_in_order(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 1000)
            got = [
                row
                async for row in db.stream("SELECT id FROM items WHERE id > ? ORDER BY id", (5,))
            ]
            assert got == [{"id": n} for n in range(6, 1001)]
            assert [row async for row in db.stream("SELECT id FROM items WHERE id = 0")] == []

    async def test_streams_closed_early_leave_the_database_usable(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 1000)
            for _ in range(20):
                async with aclosing(db.stream("SELECT id FROM items ORDER BY id")) as rows:
                    assert await anext(rows) == {"id": 1}
            assert await db.execute("DELETE FROM items") == 1000

    async def test_a_streams_memory_is_bounded(self) -> None:
        async with self.items() as db:
            data = b"x" * 100_000
            await db.execute_many(
                "INSERT INTO items (id, data) VALUES (?, ?)", ((n, data) for n in range(300))
            )
            total = 0
            tracemalloc.start()
            try:
                async for row in db.stream("SELECT data FROM items"):
                    total += len(row["data"])
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert total == 30_000_000
            assert peak < total / 3, f"reading {total} bytes took {peak}"

    async def test_other_statements_run_while_a_session_streams(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 300)
            query = "SELECT name FROM items WHERE id = ?"
            async with (
                db.transaction() as session,
                aclosing(session.stream("SELECT id FROM items ORDER BY id")) as rows,
            ):
                async for row in rows:
                    assert await session.fetch_value(query, (row["id"],)) == f"n{row['id']}"

    # Errors

    async def test_constraints(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            for text, params in (
                (INSERT, (1, "new")),
                (INSERT, (4, "n1")),
                ("UPDATE items SET amount = ? WHERE id = 1", (-1,)),
                ("UPDATE items SET amount = ? WHERE id = 1", (None,)),
            ):
                with pytest.raises(SqlIntegrityError) as caught:
                    await db.execute(text, params)
                assert caught.value.sqlstate.startswith("23")
            assert await db.fetch_value(COUNT) == 3

    async def test_a_wrong_statement(self) -> None:
        async with self.items() as db:
            for text in ("SELEKT 1", "SELECT nothing FROM items", "SELECT * FROM nowhere"):
                for run in (db.execute, db.fetch_all, db.fetch_one, db.fetch_value):
                    with pytest.raises(SqlError) as caught:
                        await run(text)
                    assert not isinstance(caught.value, (SqlIntegrityError, SqlConflictError))
                    assert len(caught.value.sqlstate) == 5
            assert await db.fetch_value(COUNT) == 0

    # Transactions

    async def test_own_statements_commit_by_themselves(self) -> None:
        async with self.items() as db:
            await db.execute(INSERT, (1, "a"))
            with pytest.raises(Oops):
                async with db.transaction():
                    raise Oops
            async with db.transaction(read_only=True) as session:
                assert await session.fetch_value(COUNT) == 1

    async def test_a_block_commits_at_its_end(self) -> None:
        async with self.items() as db:
            async with db.transaction() as session:
                await self.seeded(session)
                assert await session.fetch_value(COUNT) == 3
            assert await db.fetch_value(COUNT) == 3

    async def test_a_block_that_raises_rolls_back(self) -> None:
        async with self.items() as db:
            with pytest.raises(Oops):
                async with db.transaction() as session:
                    await self.seeded(session)
                    raise Oops
            with pytest.raises(SqlIntegrityError):
                async with db.transaction() as session:
                    await session.execute(INSERT, (1, "a"))
                    await session.execute(INSERT, (1, "b"))
            assert await db.fetch_value(COUNT) == 0

    async def test_a_cancelled_block_rolls_back(self) -> None:
        async with self.items() as db:
            with anyio.CancelScope() as scope:
                async with db.transaction() as session:
                    await self.seeded(session)
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
            assert scope.cancelled_caught
            assert await db.fetch_value(COUNT) == 0

    async def test_a_read_only_block_changes_nothing(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            for text in ("DELETE FROM items", "CREATE TABLE other (id INTEGER)"):
                with pytest.raises(SqlError):
                    async with db.transaction(read_only=True) as session:
                        assert await session.fetch_value(COUNT) == 3
                        await session.execute(text)
            assert await db.fetch_value(COUNT) == 3
            await db.execute("DELETE FROM items")

    async def test_others_do_not_see_what_is_not_committed(self) -> None:
        seen: list[Any] = []
        async with self.items() as db:
            await self.seeded(db)

            async def look() -> None:
                seen.append(await db.fetch_value(COUNT))

            async with anyio.create_task_group() as tasks:
                with pytest.raises(Oops):
                    async with db.transaction() as session:
                        await session.execute("DELETE FROM items")
                        for _ in range(3):
                            tasks.start_soon(look)
                        # Whether they look now, or must wait for the end, is the database's choice.
                        await anyio.sleep(0.05)
                        raise Oops
            assert seen == [3, 3, 3]

    async def test_concurrent_transactions_lose_no_update(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 1)

            async def add() -> None:
                done = 0
                while done < 5:
                    try:
                        async with db.transaction() as session:
                            await session.execute(
                                "UPDATE items SET amount = amount + 1 WHERE id = 1"
                            )
                            before = await session.fetch_value("SELECT amount FROM items")
                            await settled()
                            await session.execute("UPDATE items SET amount = ?", (before + 1,))
                    except SqlConflictError:
                        continue
                    done += 1

            async with (
                within(3 * self.patience, "the transactions"),
                anyio.create_task_group() as tasks,
            ):
                for _ in range(8):
                    tasks.start_soon(add)
            assert await db.fetch_value("SELECT amount FROM items") == 80

    async def test_each_of_many_readers_gets_its_own_rows(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 50)

            async def read(number: int) -> None:
                for _ in range(5):
                    row = await db.fetch_one("SELECT id, name FROM items WHERE id = ?", (number,))
                    assert row == {"id": number, "name": f"n{number}"}

            async with within(3 * self.patience, "the reads"), anyio.create_task_group() as tasks:
                for number in range(1, 51):
                    tasks.start_soon(read, number)

    async def test_a_session_ends_with_its_block(self) -> None:
        async with self.items() as db:
            async with db.transaction() as session:
                pass
            for use in (
                lambda: session.execute("DELETE FROM items"),
                lambda: session.fetch_all(COUNT),
                lambda: session.fetch_one(COUNT),
                lambda: session.fetch_value(COUNT),
                lambda: session.execute_many(INSERT, [(1, "a")]),
                lambda: anext(session.stream(COUNT)),
            ):
                with pytest.raises(SqlError):
                    await use()

    async def test_a_session_belongs_to_one_task(self) -> None:
        async with self.items() as db, db.transaction() as session:

            async def use() -> None:
                with pytest.raises(SqlError):
                    await session.fetch_value(COUNT)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use)
            assert await session.fetch_value(COUNT) == 0

    async def test_sessions_say_the_dialect(self) -> None:
        async with self.open() as db, db.transaction() as session:
            assert session.dialect == db.dialect
            async with session.transaction() as part:
                assert part.dialect == db.dialect

    # Isolation

    async def test_every_isolation_level_can_be_asked_for(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            for level in get_args(Isolation):
                async with db.transaction(isolation=level) as session:
                    assert await session.execute("UPDATE items SET amount = amount + 1") == 3
                async with db.transaction(isolation=level, read_only=True) as session:
                    assert await session.fetch_value(COUNT) == 3
            assert await db.fetch_value("SELECT sum(amount) FROM items") == 9

    async def test_what_is_no_isolation_level_is_refused_before_anything_begins(self) -> None:
        async with self.items() as db:
            for wrong in ("chaos", "", "serializable; DROP TABLE items", "SERIALIZABLE"):
                entered = False
                with pytest.raises(SqlError) as caught:
                    async with db.transaction(isolation=cast("Isolation", wrong)):
                        entered = True
                assert not entered
                assert caught.value.sqlstate == "0A000"
            assert await db.fetch_value(COUNT) == 0

    async def test_a_repeatable_read_is_repeatable(self) -> None:
        async with self.items() as db:
            await self.seeded(db)

            async def others() -> None:
                await db.execute("UPDATE items SET amount = 7")

            async with (
                anyio.create_task_group() as tasks,
                db.transaction(read_only=True, isolation="repeatable read") as session,
            ):
                total = "SELECT sum(amount) FROM items"
                assert await session.fetch_value(total) == 0
                tasks.start_soon(others)
                # Whether they write now, or must wait for the end, is the database's choice.
                await anyio.sleep(0.05)
                assert await session.fetch_value(total) == 0
            assert await db.fetch_value("SELECT sum(amount) FROM items") == 21

    async def test_serializable_transactions_happen_as_if_one_by_one(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 2)

            async def take(one: int) -> None:
                # Each keeps to the rule by what it reads, and changes what the other has read.
                while True:
                    try:
                        async with db.transaction(isolation="serializable") as session:
                            total = await session.fetch_value("SELECT sum(amount) FROM items")
                            await settled()
                            if total == 0:
                                await session.execute(
                                    "UPDATE items SET amount = 1 WHERE id = ?", (one,)
                                )
                    except SqlConflictError:
                        continue
                    return

            for _ in range(5):
                async with (
                    within(3 * self.patience, "the transactions"),
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(take, 1)
                    tasks.start_soon(take, 2)
                assert await db.fetch_value("SELECT sum(amount) FROM items") == 1
                await db.execute("UPDATE items SET amount = 0")

    # Parts of a transaction

    async def test_a_part_of_a_transaction_fails_alone(self) -> None:
        async with self.items() as db:
            async with db.transaction() as session:
                await session.execute(INSERT, (1, "a"))
                with pytest.raises(Oops):
                    async with session.transaction() as part:
                        await part.execute(INSERT, (2, "b"))
                        raise Oops
                with pytest.raises(SqlIntegrityError):
                    async with session.transaction() as part:
                        await part.execute(INSERT, (3, "c"))
                        await part.execute(INSERT, (1, "d"))
                async with session.transaction() as part:
                    await part.execute(INSERT, (4, "e"))
            assert await db.fetch_all(IDS) == [{"id": 1}, {"id": 4}]

    async def test_parts_have_parts(self) -> None:
        async with self.items() as db:
            async with db.transaction() as session:
                with pytest.raises(Oops):
                    async with session.transaction() as part:
                        await part.execute(INSERT, (1, "a"))
                        async with part.transaction() as inner:
                            await inner.execute(INSERT, (2, "b"))
                        raise Oops
                async with session.transaction() as part:
                    await part.execute(INSERT, (3, "c"))
                    with pytest.raises(Oops):
                        async with part.transaction() as inner:
                            await inner.execute(INSERT, (4, "d"))
                            raise Oops
                    assert await part.fetch_all(IDS) == [{"id": 3}]
            assert await db.fetch_all(IDS) == [{"id": 3}]

    async def test_a_part_of_what_is_rolled_back_goes_with_it(self) -> None:
        async with self.items() as db:
            with pytest.raises(Oops):
                async with db.transaction() as session:
                    async with session.transaction() as part:
                        await part.execute(INSERT, (1, "a"))
                    raise Oops
            assert await db.fetch_value(COUNT) == 0

    async def test_a_cancelled_part_is_undone_and_the_rest_stays(self) -> None:
        async with self.items() as db:
            async with db.transaction() as session:
                await session.execute(INSERT, (1, "a"))
                with anyio.CancelScope() as scope:
                    async with session.transaction() as part:
                        await part.execute(INSERT, (2, "b"))
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
                async with within(self.patience, "the cancelled query"):
                    with anyio.move_on_after(0.05) as late:
                        async with session.transaction() as part:
                            await part.execute(INSERT, (3, "c"))
                            await part.fetch_all(self.slow_statement(db))
                assert scope.cancelled_caught
                assert late.cancelled_caught
                await session.execute(INSERT, (4, "d"))
            assert await db.fetch_all(IDS) == [{"id": 1}, {"id": 4}]

    async def test_a_stream_begun_in_a_part_ends_with_it(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 1000)
            async with db.transaction() as session:
                with pytest.raises(Oops):
                    async with session.transaction() as part:
                        rows = part.stream(IDS)
                        assert await anext(rows) == {"id": 1}
                        raise Oops
                await rows.aclose()
                assert await session.execute("UPDATE items SET amount = 1") == 1000
            assert await db.fetch_value("SELECT sum(amount) FROM items") == 1000

    async def test_a_part_belongs_to_its_session(self) -> None:
        async with self.items() as db:
            async with db.transaction() as session:

                async def use() -> None:
                    with pytest.raises(SqlError):
                        async with session.transaction():
                            pass

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(use)
                await session.execute(INSERT, (1, "a"))
            with pytest.raises(SqlError):
                async with session.transaction():
                    pass
            assert await db.fetch_value(COUNT) == 1

    async def test_cancelled_anywhere_a_part_is_whole_or_was_not(self) -> None:
        async with self.items() as db:

            async def scenario() -> None:
                async with db.transaction() as session:
                    await session.execute(INSERT, (1, "a"))
                    async with session.transaction() as part:
                        await part.execute(INSERT, (2, "b"))
                    await session.execute(INSERT, (3, "c"))

            async def check() -> None:
                assert await db.fetch_value(COUNT) in (0, 3)
                await db.execute("DELETE FROM items")

            assert await cancelled_everywhere(scenario, check, self.patience) >= 4

    # Cancellation

    async def test_a_cancelled_query_ends_and_the_next_one_gets_its_own_rows(self) -> None:
        async with self.items() as db:
            await self.seeded(db)
            for _ in range(3):
                async with within(self.patience, "the cancelled query"):
                    with anyio.move_on_after(0.05) as scope:
                        await db.fetch_all(self.slow_statement(db))
                    assert scope.cancelled_caught
                assert await db.fetch_value(COUNT) == 3
            with anyio.move_on_after(0.05):
                async with db.transaction() as session:
                    await session.execute("DELETE FROM items")
                    await session.fetch_all(self.slow_statement(db))
            async with within(self.patience, "the next write"):
                assert await db.execute("UPDATE items SET amount = 1") == 3

    async def test_cancelled_anywhere_a_transaction_is_whole_or_was_not(self) -> None:
        async with self.items() as db:

            async def scenario() -> None:
                async with db.transaction() as session:
                    await session.execute(INSERT, (1, "a"))
                    assert await session.fetch_value(COUNT) == 1
                    await session.execute_many(INSERT, [(2, "b"), (3, "c")])

            async def check() -> None:
                assert await db.fetch_value(COUNT) in (0, 3)
                async with db.transaction() as session:
                    await session.execute("DELETE FROM items")
                assert await db.fetch_value(COUNT) == 0

            # Three statements and to commit, the first with what begins it: a database that suspends
            # less often was not met in the middle of them.
            assert await cancelled_everywhere(scenario, check, self.patience) >= 4

    async def test_cancelled_anywhere_a_statement_happened_or_did_not(self) -> None:
        async with self.items() as db:

            async def scenario() -> None:
                await db.execute_many(INSERT, [(1, "a"), (2, "b")])
                await db.execute("UPDATE items SET amount = 1")
                assert len(await db.fetch_all("SELECT id FROM items")) == 2
                assert await db.fetch_one("SELECT id FROM items WHERE id = ?", (2,)) == {"id": 2}

            async def check() -> None:
                rows = await db.fetch_all("SELECT id, amount FROM items ORDER BY id")
                amounts = [row["amount"] for row in rows]
                assert amounts in ([], [0, 0], [1, 1])
                await db.execute("DELETE FROM items")

            assert await cancelled_everywhere(scenario, check, self.patience) >= 4

    async def test_cancelled_anywhere_a_stream_lets_go(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 1000)

            async def scenario() -> None:
                query = "SELECT id FROM items ORDER BY id"
                async with aclosing(db.stream(query)) as rows:
                    assert sum([row["id"] async for row in rows]) == 500_500
                async with (
                    db.transaction(read_only=True) as session,
                    aclosing(session.stream(query)) as rows,
                ):
                    assert await anext(rows) == {"id": 1}

            async def check() -> None:
                assert await db.execute("UPDATE items SET amount = amount + 1") == 1000

            assert await cancelled_everywhere(scenario, check, self.patience) >= 4

    async def test_cancelled_while_they_wait_calls_take_nothing_with_them(self) -> None:
        async with self.items() as db:
            await self.seeded(db, 1)
            async with anyio.create_task_group() as tasks:

                async def crowd() -> None:
                    async with db.transaction() as session:
                        await session.execute("UPDATE items SET amount = amount + 1")
                        await settled()

                for wait in range(40):
                    scope = anyio.CancelScope()

                    async def member(scope: anyio.CancelScope = scope) -> None:
                        with scope:
                            await crowd()

                    tasks.start_soon(member)
                    if wait % 2:
                        await anyio.lowlevel.checkpoint()
                        scope.cancel()
            async with within(self.patience, "the next write"):
                await db.execute("UPDATE items SET amount = amount + 100")
            assert await db.fetch_value("SELECT amount FROM items") >= 120
