"""Telling other processes what was written, and hearing it from them."""

from __future__ import annotations

import json
from secrets import token_hex
from typing import Any

import anyio

from covet_kernel.contracts import SqlError
from covet_sql.cache._cached import cache_of
from covet_sql.cache._store import QueryCache
from covet_sql.cache._tables import ANY
from covet_sql.profile import ObservedDatabase

CHANNEL = "covet_cache"
LONGEST = 7000
"""Bytes of a message; PostgreSQL takes some more."""
BUFFER = 10_000
"""Messages that wait to be read; behind more of them everything is dropped."""
AGAIN = 1.0
"""Seconds until a database that cannot be reached is tried again."""


class Announcer:
    """Collects what was written until it is told.

    Args:
        database: What tells it.
        name: This process's, by which it knows its own messages.
    """

    def __init__(self, database: ObservedDatabase, name: str) -> None:
        self._database = database
        self._name = name
        self._tables: set[str] = set()
        self._changed = anyio.Event()

    def note(self, tables: frozenset[str]) -> None:
        """Something was written."""
        self._tables |= tables
        self._changed.set()

    async def run(self) -> None:
        """Tell it, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            tables, self._tables = self._tables, set()
            try:
                await self._database.inner.fetch_value(
                    "SELECT CAST(pg_notify(?, ?) AS text)", (CHANNEL, self._message(tables))
                )
            except SqlError:
                self.note(frozenset(tables))
                await anyio.sleep(AGAIN)

    def _message(self, tables: set[str]) -> str:
        message = json.dumps([self._name, sorted(tables)])
        return message if len(message) < LONGEST else json.dumps([self._name, [ANY]])


async def share(database: ObservedDatabase) -> None:
    """Keep the results of a database in step with those of other processes, until cancelled.

    What they write is heard a moment after their commit, so that a result may be old for that long;
    after the connection was lost, everything is dropped.

    Args:
        database: One of PostgreSQL; with any other there is nothing to hear.
    """
    listen: Any = getattr(database.inner, "listen", None)
    if listen is None:
        return
    cache, name = cache_of(database), token_hex(8)
    announcer = Announcer(database, name)
    cache.on_write = announcer.note
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(announcer.run)
            while True:
                try:
                    async with listen((CHANNEL,), BUFFER) as heard:
                        cache.clear()
                        async for item in heard:
                            _hear(cache, name, getattr(item, "payload", None))
                except SqlError:
                    cache.clear()
                await anyio.sleep(AGAIN)
    finally:
        cache.on_write = None


def _hear(cache: QueryCache, name: str, message: str | None) -> None:
    """Drop what a message says; without one, or with one that is odd, everything."""
    try:
        who, tables = json.loads(message or "")
        if who != name:
            cache.drop([str(table) for table in tables])
    except (ValueError, TypeError, RecursionError):
        cache.clear()
