"""What a driver has beyond the contract is there, and counts where it writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from covet_kernel.contracts import Params, SqlError
from covet_sql.cache import cached
from covet_sql.profile import ObservedDatabase, Profile


class Session:
    """A session with parts, and bulk loads."""

    dialect = "sqlite"
    said: str = "more"

    async def execute(self, sql: str, params: Params = ()) -> int:
        return 1

    async def copy_in(self, sql: str, chunks: Any) -> int:
        if chunks is None:
            raise SqlError("no chunks")
        return 7

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[Session]:
        yield Session()

    async def fetch_all(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        if "sqlite_schema" in sql:
            return [{"name": "books", "plain": 1, "opaque": 0}] if "pragma" not in sql else []
        return [{"n": 1}]


COPY = "COPY books FROM STDIN"


def observed() -> ObservedDatabase:
    inner: Any = Session()
    return ObservedDatabase("sqlite", inner, Profile("sqlite"))


async def test_it_is_reached_through_it() -> None:
    db: Any = observed()
    assert db.said == "more"
    assert not hasattr(db, "nothing")
    assert not hasattr(db, "copy_out")
    async with db.transaction() as session:
        assert session.said == "more"


async def test_a_bulk_load_counts_and_drops_results() -> None:
    db: Any = observed()
    kept = cached(db, seconds=60)
    for load in (db.copy_in, _within(db)):
        await kept.fetch_all("SELECT n FROM books")
        assert len(db.cache) == 1
        assert await load(COPY, []) == 7
        assert len(db.cache) == 0
    with pytest.raises(SqlError):
        await db.copy_in(COPY, None)
    entry = db.profile.entry(COPY)
    assert (entry.count, entry.rows, entry.errors) == (3, 14, 1)


def _within(db: Any) -> Any:
    async def load(sql: str, chunks: Any) -> int:
        async with db.transaction() as session:
            found: int = await session.copy_in(sql, chunks)
            return found

    return load


async def test_parts_of_a_transaction_count_to_it() -> None:
    db: Any = observed()
    kept = cached(db, seconds=60)
    await kept.fetch_all("SELECT n FROM books")
    async with db.transaction() as session:
        async with session.transaction() as part:
            async with part.transaction() as inner:
                await inner.execute("DELETE FROM books")
            assert db.has_written()
        assert len(db.cache) == 1
    assert len(db.cache) == 0
    assert not db.has_written()
    assert db.profile.entry("DELETE FROM books").count == 1


async def test_options_are_the_drivers_own() -> None:
    db: Any = observed()
    async with db.transaction(read_only=True, isolation="serializable") as session:
        assert await session.execute("SELECT 1") == 1
