"""The SQL contract, as every other provider of it has to keep it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from services import postgres

from covet_conformance import SqlDatabaseSuite
from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_postgres import Postgres


class TestPostgres(SqlDatabaseSuite):
    config: ClassVar[dict[str, Any]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqlDatabase]:
        with postgres.database() as url:
            config = {"postgres": {"url": url, **self.config}}
            async with run_kernel({"postgres": Postgres}, config) as kernel:
                yield kernel.require(SQL)


class TestPostgresBehindAPooler(TestPostgres):
    """Without anything that a pooler per transaction cannot do."""

    config = {"pgbouncer": True}
