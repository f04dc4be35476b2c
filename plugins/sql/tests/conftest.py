"""A real database, empty, open for a block inside the test so that leaks count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from services import mariadb, postgres

from covet_kernel import Kernel
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql
from covet_postgres import Postgres
from covet_sql import Sql
from covet_sql.profile import ObservedDatabase
from covet_sqlite import Sqlite


def observed(kernel: Kernel) -> ObservedDatabase:
    """The database of a kernel, as its driver provides it."""
    database = kernel.require(SQL)
    assert isinstance(database, ObservedDatabase)
    return database


@asynccontextmanager
async def _sqlite(
    folder: Path, sql: Mapping[str, Any], config: Mapping[str, Any]
) -> AsyncIterator[ObservedDatabase]:
    tables = {"sqlite": {"path": "app.db", **config}, "sql": sql}
    async with run_kernel({"sqlite": Sqlite, "sql": Sql}, tables, directory=folder) as kernel:
        yield observed(kernel)


@asynccontextmanager
async def _postgresql(
    folder: Path, sql: Mapping[str, Any], config: Mapping[str, Any]
) -> AsyncIterator[ObservedDatabase]:
    with postgres.database() as url:
        tables = {"postgres": {"url": url, **config}, "sql": sql}
        async with run_kernel(
            {"postgres": Postgres, "sql": Sql}, tables, directory=folder
        ) as kernel:
            yield observed(kernel)


@asynccontextmanager
async def _mysql(
    folder: Path, sql: Mapping[str, Any], config: Mapping[str, Any]
) -> AsyncIterator[ObservedDatabase]:
    with mariadb.database() as url:
        tables = {"mysql": {"url": url, **config}, "sql": sql}
        async with run_kernel({"mysql": Mysql, "sql": Sql}, tables, directory=folder) as kernel:
            yield observed(kernel)


OPENERS = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}


class Observing:
    """Opens databases of one kind, with the table ``[plugins.sql]`` that it is given.

    Attributes:
        dialect: Theirs.
    """

    def __init__(self, dialect: str, folder: Path) -> None:
        self.dialect = dialect
        self._folder = folder

    def __call__(
        self, config: Mapping[str, Any] | None = None, **sql: Any
    ) -> AbstractAsyncContextManager[ObservedDatabase]:
        return OPENERS[self.dialect](self._folder, sql, config or {})


@pytest.fixture(params=sorted(OPENERS))
def observing(request: pytest.FixtureRequest, tmp_path: Path) -> Observing:
    """Each kind of database, observed."""
    return Observing(request.param, tmp_path)
