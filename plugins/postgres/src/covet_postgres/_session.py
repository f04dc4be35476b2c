"""A transaction's statements, and what only PostgreSQL's sessions can do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from covet_postgres._connection import Connection
from covet_postgres._types import Types
from covet_sql.driver import BranchSession


class PostgresSession(BranchSession[Connection]):
    """Every statement on the transaction's connection, for the task that began it."""

    dialect = "postgresql"

    async def copy_in(self, sql: str, chunks: AsyncIterable[bytes | memoryview]) -> int:
        """Store what the chunks have, by a ``COPY ... FROM STDIN``; the number of rows."""
        return await self._mine().copy_in(self._statements[sql], chunks)

    async def copy_out(self, sql: str) -> AsyncGenerator[bytes, None]:
        """What a ``COPY ... TO STDOUT`` gives, in chunks of whole rows."""
        connection = self._mine()
        async with aclosing(connection.copy_out(self._statements[sql])) as chunks:
            async for chunk in chunks:
                yield chunk
                self._mine()

    async def column_types(self, query: str) -> tuple[list[int], Types]:
        """The types of a query's columns, and what is known of them."""
        return await self._mine().column_types(query)
