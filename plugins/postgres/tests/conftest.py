"""A database of the test's own, on a server of the process's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from services import postgres

from covet_postgres import PostgresConfig
from covet_postgres._database import PostgresDatabase
from covet_postgres._plugin import opened


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of a class or module that says ``EVERY_VERSION`` are run on the newest server as well."""
    where = metafunc.cls if hasattr(metafunc.cls, "EVERY_VERSION") else metafunc.module
    if getattr(where, "EVERY_VERSION", False):
        newest = pytest.param(postgres.NEWEST, marks=pytest.mark.once)
        metafunc.parametrize("version", [postgres.SYSTEM, newest], indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def version(request: pytest.FixtureRequest) -> Iterator[None]:
    """Chooses the server that the fixtures below, and what a test starts, are of."""
    if hasattr(request, "param"):
        with postgres.on_version(request.param):
            yield
    else:
        yield


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of an empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def open_db(url: str) -> Callable[..., AbstractAsyncContextManager[PostgresDatabase]]:
    """Opens it for a block, inside the test so that leaks count, with a table ``t``."""

    @asynccontextmanager
    async def open_one(**config: Any) -> AsyncIterator[PostgresDatabase]:
        async with opened(PostgresConfig(**{"url": url, **config}), "the test") as database:
            await database.execute(
                "CREATE TABLE IF NOT EXISTS t (id SERIAL PRIMARY KEY, a INTEGER UNIQUE)"
            )
            yield database

    return open_one
