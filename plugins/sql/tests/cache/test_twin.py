"""A database that answers from kept results beside the same one that does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from covet_kernel.contracts import SQL, SqlError
from covet_kernel.testing import run_kernel
from covet_sql.cache import cached
from covet_sqlite import Sqlite

pytestmark = pytest.mark.once

SCHEMA = [
    "CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT)",
    """CREATE TABLE books (id INTEGER PRIMARY KEY, stock INTEGER,
    author INTEGER REFERENCES authors ON DELETE CASCADE ON UPDATE CASCADE)""",
    "CREATE TABLE log (n INTEGER)",
    "CREATE TABLE watched (n INTEGER)",
    "CREATE TRIGGER t AFTER INSERT ON watched BEGIN INSERT INTO log VALUES (new.n); END",
    "CREATE VIEW cheap AS SELECT id, stock FROM books WHERE stock < 3",
]
READS = [
    "SELECT id, stock FROM books ORDER BY id",
    "SELECT count(*) AS n FROM books WHERE stock > :n",
    "SELECT a.id, count(b.id) AS n FROM authors a LEFT JOIN books b ON b.author = a.id GROUP BY a.id",
    "SELECT max(n) AS n FROM log",
    "SELECT id FROM cheap WHERE id <> :n ORDER BY id",
    "WITH books AS (SELECT id FROM books WHERE id > :n) SELECT count(*) AS n FROM books, authors",
    "SELECT name FROM authors WHERE id = :n",
]
WRITES = [
    "INSERT OR REPLACE INTO authors VALUES (:n, 'a' || :n)",
    "INSERT OR IGNORE INTO books (id, stock, author) VALUES (:n, :n, (SELECT min(id) FROM authors))",
    "UPDATE books SET stock = stock + :n",
    "UPDATE authors SET id = id + 10 WHERE id = :n",
    "DELETE FROM authors WHERE id = :n",
    "INSERT INTO watched VALUES (:n)",
    "INSERT INTO log SELECT :n",
    "WITH x AS (SELECT :n AS n) DELETE FROM books WHERE id IN (SELECT n FROM x)",
    "DROP VIEW IF EXISTS cheap",
    "CREATE VIEW IF NOT EXISTS cheap AS SELECT id, stock FROM books WHERE stock > 1",
    "INSERT INTO nowhere VALUES (:n)",
]
READ = st.sampled_from(READS)
WRITE = st.sampled_from(WRITES)
NUMBER = st.integers(0, 4)


class Twins(RuleBasedStateMachine):
    backend = "asyncio"

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self._portal = start_blocking_portal(self.backend)
        portal = self._portal.__enter__()
        self.call: Callable[..., Any] = portal.call
        self._kernel = portal.wrap_async_context_manager(
            run_kernel({"sqlite": Sqlite}, directory=Path(self._folder.name))
        )
        self.db: Any = self._kernel.__enter__().require(SQL)
        for text in SCHEMA:
            self.call(self.db.execute, text)

    def teardown(self) -> None:
        self._kernel.__exit__(None, None, None)
        self._portal.__exit__(None, None, None)
        self._folder.cleanup()

    @rule(text=READ, number=NUMBER)
    def read(self, text: str, number: int) -> None:
        params = {"n": number} if ":n" in text else {}
        answers = []
        for db in (cached(self.db, seconds=1000), self.db.inner):
            try:
                answers.append(self.call(db.fetch_all, text, params))
            except SqlError as error:
                answers.append(error.sqlstate)
        assert answers[0] == answers[1]

    @rule(text=WRITE, number=NUMBER)
    def write(self, text: str, number: int) -> None:
        with suppress(SqlError):
            self.call(self.db.execute, text, {"n": number} if ":n" in text else {})

    @rule(texts=st.lists(st.tuples(WRITE, NUMBER), max_size=3), read=READ, commit=st.booleans())
    def transaction(self, texts: list[tuple[str, int]], read: str, commit: bool) -> None:
        async def run() -> None:
            async with self.db.transaction() as session:
                for text, number in texts:
                    with suppress(SqlError):
                        await session.execute(text, {"n": number} if ":n" in text else {})
                with suppress(SqlError):
                    params = {"n": 1} if ":n" in read else {}
                    inside = await cached(session, seconds=1000).fetch_all(read, params)
                    assert inside == await session.fetch_all(read, params)
                if not commit:
                    raise LookupError

        with suppress(SqlError, LookupError):
            self.call(run)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_both_always_say_the_same(backend: str) -> None:
    machine = type("Machine", (Twins,), {"backend": backend})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None)
    )
