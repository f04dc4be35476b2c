"""Statements on one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from itertools import islice
from typing import Any

from covet_kernel.contracts import Params, Row
from covet_sql.driver import OwnedSession, first, value
from covet_sqlite._connection import Connection

MANY = 500
"""Rows of parameters handed to the thread at once."""


class SqliteSession(OwnedSession[Connection]):
    """A transaction's session: every statement on its connection, for the task that began it."""

    dialect = "sqlite"

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
