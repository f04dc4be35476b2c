"""A real database, empty, open for a block inside the test so that leaks count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from services import mariadb, postgres

from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql
from covet_postgres import Postgres
from covet_sql import query as q
from covet_sqlite import Sqlite

Opener = Callable[..., AbstractAsyncContextManager[SqlDatabase]]


@asynccontextmanager
async def sqlite() -> AsyncIterator[SqlDatabase]:
    async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
        yield kernel.require(SQL)


@asynccontextmanager
async def postgresql() -> AsyncIterator[SqlDatabase]:
    with postgres.database() as url:
        async with run_kernel({"postgres": Postgres}, {"postgres": {"url": url}}) as kernel:
            yield kernel.require(SQL)


@asynccontextmanager
async def mysql() -> AsyncIterator[SqlDatabase]:
    with mariadb.database() as url:
        async with run_kernel({"mysql": Mysql}, {"mysql": {"url": url}}) as kernel:
            yield kernel.require(SQL)


OPENERS = {"sqlite": sqlite, "postgresql": postgresql, "mysql": mysql}


@pytest.fixture(params=sorted(OPENERS))
def open_db(request: pytest.FixtureRequest) -> Opener:
    """Opens it, with the tables it is given."""

    @asynccontextmanager
    async def opened(*tables: q.Table[object]) -> AsyncIterator[SqlDatabase]:
        async with OPENERS[request.param]() as db:
            for statement in q.ddl(*tables, dialect=db.dialect):
                await db.execute(statement)
            yield db

    return opened
