"""The SQL contract, as every other provider of it has to keep it: in a file and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from covet_conformance import SqlDatabaseSuite
from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_sqlite import Sqlite


class TestSqliteFile(SqlDatabaseSuite):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqlDatabase]:
        with TemporaryDirectory() as folder:
            async with run_kernel({"sqlite": Sqlite}, directory=Path(folder)) as kernel:
                yield kernel.require(SQL)


class TestSqliteMemory(SqlDatabaseSuite):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqlDatabase]:
        config = {"sqlite": {"path": ":memory:"}}
        async with run_kernel({"sqlite": Sqlite}, config) as kernel:
            yield kernel.require(SQL)
