"""Where a result may be a little old: said at each call that wants it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from covet_kernel.contracts import Params, Row, SqlError, SqlSession
from covet_sql.cache._key import key_of
from covet_sql.cache._store import QueryCache
from covet_sql.profile import ObservedDatabase, ObservedSession


class Cached:
    """A database whose reads may be answered from results that are kept.

    What it does not read goes to the database as it is.
    """

    def __init__(self, database: ObservedDatabase, cache: QueryCache, seconds: float) -> None:
        self._database = database
        self._cache = cache
        self._seconds = seconds

    @property
    def dialect(self) -> str:
        return self._database.dialect

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        rows: list[Row] = await self._fetch("all", sql, params)
        return rows

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        row: Row | None = await self._fetch("one", sql, params)
        return row

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        return await self._fetch("value", sql, params)

    async def _fetch(self, kind: str, sql: str, params: Params) -> Any:
        cache, database = self._cache, self._database
        found = cache.touched_by(sql)
        if not found.may_be_kept:
            raise SqlError(
                "only what reads, and locks nothing, can be answered from kept results: this"
                " statement goes to the database itself",
                sqlstate="0A000",
            )
        key = key_of(kind, sql, params)
        if key is None or database.has_written():
            cache.bypassed += 1
            return await _run(database, kind, sql, params)
        return await cache.fetch(key, sql, self._seconds, lambda: _run(database, kind, sql, params))

    async def execute(self, sql: str, params: Params = ()) -> int:
        return await self._database.execute(sql, params)

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        return await self._database.execute_many(sql, rows)

    def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        return self._database.stream(sql, params)

    def transaction(self) -> AbstractAsyncContextManager[SqlSession]:
        return self._database.transaction()


async def _run(database: ObservedDatabase, kind: str, sql: str, params: Params) -> Any:
    if kind == "all":
        return await database.fetch_all(sql, params)
    if kind == "one":
        return await database.fetch_one(sql, params)
    return await database.fetch_value(sql, params)


def cached(session: SqlSession, *, seconds: float) -> SqlSession:
    """The database, where a result may be answered that is up to so many seconds old.

    Whatever this process writes through the database, inside transactions too, drops the results
    that depend on it before the writer goes on. What others write is seen after ``seconds``.

    Args:
        session: A database of covet's drivers. A transaction's session is given back as it is:
            inside a transaction everything is read from the database.
        seconds: How old a result may be.

    Raises:
        SqlError: It is no database that a driver of covet's has provided.
        ValueError: Not a positive number of seconds.
    """
    if not seconds > 0:
        raise ValueError(f"a result may be some seconds old, not {seconds}")
    if isinstance(session, ObservedSession):
        return session
    return Cached(_observed(session), cache_of(session), seconds)


def invalidate(session: SqlSession, *tables: str) -> None:
    """Drop the results that depend on tables; all of them, if none is named.

    For writes that are not seen: those of a function that a ``SELECT`` has called, those that
    another process has told of.

    Raises:
        SqlError: It is no database that a driver of covet's has provided.
    """
    cache = cache_of(session)
    if tables:
        cache.invalidate(tables)
    else:
        cache.clear()


def cache_of(session: SqlSession) -> QueryCache:
    """The kept results of a database; from the first call on there are some."""
    database = _observed(session)
    if database.cache is None:
        entries, size = database.cache_bounds
        database.cache = QueryCache(database.inner, entries=entries, size=size)
    return database.cache


def _observed(session: SqlSession) -> ObservedDatabase:
    if isinstance(session, ObservedDatabase):
        return session
    raise SqlError(
        f"results are kept of databases that a driver has provided, not of {type(session).__name__}",
        sqlstate="0A000",
    )
