"""A real SQL database for tests: sqlite3 in a worker thread, with faults on demand."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.to_thread import run_sync

from covet_kernel.contracts import (
    Isolation,
    Params,
    Row,
    SqlConflictError,
    SqlIntegrityError,
    SqlSession,
)

SCHEMA = """
create table books (id integer primary key, title text not null, stock integer not null check (stock >= 0));
create table orders (key text primary key, customer text not null);
insert into books values (1, 'Emma', 3), (2, 'Persuasion', 1), (3, 'Dracula', 0);
"""


class Database:
    """One connection, one statement or transaction at a time.

    Attributes:
        journal: ``begin``, ``commit`` and ``rollback`` in the order they happened.
        fail_commit: Whether COMMIT fails, as if another transaction was in the way.
        in_commit: Awaited while a commit is going on, before it takes effect.
    """

    dialect = "sqlite"

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        weakref.finalize(self, self._db.close)
        self._db.executescript(SCHEMA)
        self._lock = anyio.Lock()
        self.journal: list[str] = []
        self.fail_commit = False
        self.in_commit: Callable[[], Any] | None = None

    async def _run(self, sql: str, params: Params) -> list[Row]:
        def work() -> list[Row]:
            try:
                return [dict(row) for row in self._db.execute(sql, params)]
            except sqlite3.IntegrityError as error:
                raise SqlIntegrityError(str(error)) from error

        return await run_sync(work)

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return await self._run(sql, params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        rows = await self._run(sql, params)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        row = await self.fetch_one(sql, params)
        return next(iter(row.values())) if row else None

    async def execute(self, sql: str, params: Params = ()) -> int:
        before = self._db.total_changes
        await self._run(sql, params)
        return self._db.total_changes - before

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        return sum([await self.execute(sql, row) for row in rows])

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        for row in await self._run(sql, params):
            yield row

    @asynccontextmanager
    async def transaction(
        self, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AsyncIterator[SqlSession]:
        async with self._lock:
            await self._run("begin", ())
            self.journal.append("begin")
            try:
                yield self
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._run("rollback", ())
                self.journal.append("rollback")
                raise
            if self.in_commit is not None:
                await self.in_commit()
            if self.fail_commit:
                await self._run("rollback", ())
                self.journal.append("rollback")
                raise SqlConflictError("database is locked by 10.0.0.7")
            await self._run("commit", ())
            self.journal.append("commit")

    def close(self) -> None:
        self._db.close()
