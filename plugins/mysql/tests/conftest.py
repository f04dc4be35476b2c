"""A database of the test's own, on a server of the process's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from services import mariadb

from covet_mysql import MysqlConfig
from covet_mysql._database import MysqlDatabase
from covet_mysql._plugin import opened


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of an empty database."""
    with mariadb.database() as url:
        yield url


@pytest.fixture
def open_db(url: str) -> Callable[..., AbstractAsyncContextManager[MysqlDatabase]]:
    """Opens it for a block, inside the test so that leaks count, with a table ``t``."""

    @asynccontextmanager
    async def open_one(**config: Any) -> AsyncIterator[MysqlDatabase]:
        async with opened(MysqlConfig(**{"url": url, **config}), "the test") as database:
            await database.execute(
                "CREATE TABLE IF NOT EXISTS t (id INTEGER AUTO_INCREMENT PRIMARY KEY, a INTEGER UNIQUE)"
            )
            yield database

    return open_one
