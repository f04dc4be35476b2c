"""A database in a file of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from covet_sqlite import SqliteConfig
from covet_sqlite._database import SqliteDatabase


@pytest.fixture
def open_db(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[SqliteDatabase]]:
    """Opens it for a block, inside the test so that leaks count, with a table ``t``."""

    @asynccontextmanager
    async def opened(**config: Any) -> AsyncIterator[SqliteDatabase]:
        database = SqliteDatabase(tmp_path / "app.db", SqliteConfig(**config))
        try:
            await database.open()
            await database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)")
            yield database
        finally:
            await database.close()

    return opened
