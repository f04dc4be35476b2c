"""The database: one writer, some readers, and which of them a statement needs."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from covet_kernel.contracts import Isolation, Params, Row, SqlError
from covet_sql.driver import Pool, Transaction, first, value
from covet_sqlite._config import MEMORY, SqliteConfig
from covet_sqlite._connection import Connection, Counts
from covet_sqlite._open import only_reads, open_raw, read_schema
from covet_sqlite._points import PointReads
from covet_sqlite._session import SqliteSession

READS = re.compile(r"\s*(?:SELECT|VALUES|EXPLAIN)\b", re.IGNORECASE)
READS_WITH = re.compile(
    r"\s*WITH\b(?!.*\b(?:INSERT|UPDATE|DELETE|REPLACE)\b)", re.IGNORECASE | re.DOTALL
)
"""Texts that cannot change anything; what they miss goes to the writer, which is always right."""


class SqliteDatabase:
    """The `SqlDatabase` of one file, or of memory.

    Statements that only read run on the readers, all at once; everything else waits its turn for
    the writer. In memory there is one connection for both.
    """

    def __init__(self, path: Path | None, config: SqliteConfig) -> None:
        self._path = str(path) if path is not None else MEMORY
        self._config = config
        self.counts = Counts()
        # Reads in a write transaction may take a reader besides, if one is free.
        self.writer: Pool[Connection] = Pool(
            self._open_writer, 1, config.acquire_timeout, nested=True
        )
        self.readers = (
            Pool(self._open_reader, config.readers, config.acquire_timeout, nested=True)
            if path is not None
            else self.writer
        )
        # Memory is one connection's own: there is no second one to read it.
        self.points = PointReads(self._open_points, config.inline_steps if path is not None else 0)

    @property
    def dialect(self) -> str:
        return "sqlite"

    @property
    def file(self) -> Path | None:
        """The file it is in, ``None`` in memory."""
        return Path(self._path) if self._path != MEMORY else None

    async def open(self) -> None:
        """Open the writer, so that an unusable file is known at the start."""
        self.writer.give_back(await self.writer.acquire())

    async def close(self) -> None:
        """Close every connection; a last one leaves nothing in the write-ahead log."""
        self.points.close()
        if self.readers is not self.writer:
            await self.readers.close(self._config.cleanup_timeout)
        await self.writer.close(self._config.cleanup_timeout)

    async def check(self) -> None:
        """Read something of the file.

        Raises:
            SqlError: It cannot be read.
        """
        await self.fetch_all("SELECT 1 FROM sqlite_schema LIMIT 1")

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return await self._fetch(sql, params, first=False)

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        return first(await self._fetch(sql, params, first=True))

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        return value(await self._fetch(sql, params, first=True))

    async def execute(self, sql: str, params: Params = ()) -> int:
        pool = self._pool(sql)
        connection = await pool.acquire()
        try:
            return await connection.execute(sql, params)
        finally:
            pool.give_back(connection)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        async with self.transaction() as session:
            return await session.execute_many(sql, rows)

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        pool = self._pool(sql)
        connection = await pool.acquire()
        try:
            stream = await connection.open_stream(sql, params)
            try:
                while rows := await connection.read_stream(stream):
                    for row in rows:
                        yield row
            finally:
                connection.close_stream(stream)
        finally:
            pool.give_back(connection)

    def transaction(
        self, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AbstractAsyncContextManager[SqliteSession]:
        pool = self.readers if read_only else self.writer
        return Transaction(
            pool,
            partial(SqliteSession, pool=pool),
            SqliteSession.end,
            read_only=read_only,
            isolation=isolation,
        )

    async def _fetch(self, sql: str, params: Params, *, first: bool) -> list[Row]:
        rows = await self.points.fetch(sql, params, first=first)
        if rows is not None:
            self.counts.statements += 1
            return rows
        pool = self._pool(sql)
        connection = await pool.acquire()
        try:
            rows = await connection.fetch(sql, params, first=first)
            if pool is self.readers and self.points.are_worth_a_proof(sql):
                with suppress(SqlError):
                    await connection.run(partial(self.points.prove, sql=sql, params=params))
            return rows
        finally:
            pool.give_back(connection)

    def _pool(self, sql: str) -> Pool[Connection]:
        reads = READS.match(sql) or READS_WITH.match(sql)
        return self.readers if reads else self.writer

    async def _open_writer(self) -> Connection:
        return await self._opened(reads_only=False)

    async def _open_reader(self) -> Connection:
        return await self._opened(reads_only=True)

    def _open_points(self) -> apsw.Connection:
        raw = open_raw(self._path)
        only_reads(raw)
        read_schema(raw)
        return raw

    async def _opened(self, *, reads_only: bool) -> Connection:
        connection = Connection(self._path, self._config, self.counts, reads_only=reads_only)
        await connection.open()
        return connection
