"""Statements on one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import anyio

from covet_kernel.contracts import Params, Row, SqlError
from covet_sqlite._connection import Connection

MANY = 500
"""Rows of parameters handed to the thread at once."""


class SqliteSession:
    """A transaction's session: every statement on its connection, for the task that began it."""

    dialect = "sqlite"

    def __init__(self, connection: Connection, task: int) -> None:
        self._connection = connection
        self._open = True
        self._task = task

    def end(self) -> None:
        self._open = False

    def _mine(self) -> Connection:
        if not self._open:
            raise SqlError("the session's transaction has ended", sqlstate="25000")
        if anyio.get_current_task().id != self._task:
            raise SqlError(
                "a session belongs to the task that began its transaction; another task needs its own",
                sqlstate="25000",
            )
        return self._connection

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return await self._mine().fetch(sql, params)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        return first(await self._mine().fetch(sql, params, first=True))

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        return value(await self._mine().fetch(sql, params, first=True))

    async def execute(self, sql: str, params: Params = ()) -> int:
        return await self._mine().execute(sql, params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        # Rows are drawn here, not in the thread: a generator stays in the task that made it.
        source, changed = iter(rows), 0
        while chunk := list(islice(source, MANY)):
            changed += await self._mine().execute_rows(sql, chunk)
        return changed

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        connection = self._mine()
        stream = await connection.open_stream(sql, params)
        try:
            while rows := await self._mine().read_stream(stream):
                for row in rows:
                    yield row
        finally:
            if self._open:
                connection.close_stream(stream)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteSession]:
        async with self._mine().savepoint():
            yield self
            self._mine()


def first(rows: list[Row]) -> Row | None:
    """The first row, if any."""
    return rows[0] if rows else None


def value(rows: list[Row]) -> Any:
    """The first column of the first row, if any."""
    return next(iter(rows[0].values())) if rows else None
