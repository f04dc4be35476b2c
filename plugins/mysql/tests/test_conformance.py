"""The SQL contract, as every other provider of it has to keep it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services import mariadb

from covet_conformance import SqlDatabaseSuite
from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql


class TestMysql(SqlDatabaseSuite):
    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqlDatabase]:
        with mariadb.database() as url:
            async with run_kernel({"mysql": Mysql}, {"mysql": {"url": url}}) as kernel:
                yield kernel.require(SQL)
