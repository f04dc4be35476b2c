"""The database of one key: the shard that has it at this moment."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, TypeVar

import anyio

from covet_kernel.contracts import (
    Isolation,
    Params,
    Row,
    SqlConflictError,
    SqlDatabase,
    SqlError,
    SqlSession,
)
from covet_sharding._errors import CrossShardError, ShardMovingError
from covet_sharding._map import Placement, ShardMap
from covet_sharding._ownership import Ownership
from covet_sharding._primary import on_primary
from covet_sharding._switch import complete
from covet_sql.routing import WithinDatabase, only_reads

T = TypeVar("T")

NOTES = "covet_shard_change"
FIRST_WAIT = 0.005
LONGEST_WAIT = 0.1
"""Seconds between two looks at a bucket that is closed."""


def _met_a_trigger_that_went(error: SqlError) -> bool:
    """Whether a change met a move that began or ended at that moment.

    MariaDB then may say, once in thousands of changes, that the table of the trigger's notes is not there.
    """
    return error.sqlstate == "42S02" and NOTES in str(error)


class Routes:
    """What the databases of all keys share.

    Args:
        databases: The shards by name.
        map: Which of them has what.
        write_wait: Seconds that a bucket may be closed.

    Attributes:
        writing: The bucket and the shard that each task has a writing transaction on.
    """

    def __init__(
        self, databases: Mapping[str, SqlDatabase], map: ShardMap, write_wait: float
    ) -> None:
        self.databases = databases
        self.map = map
        self.write_wait = write_wait
        self.ownership = {
            name: Ownership(map.space, each.dialect) for name, each in databases.items()
        }
        self.writing: dict[int, tuple[str, str]] = {}


class ShardDatabase(WithinDatabase):
    """The `SqlDatabase` of the keys of one bucket.

    What only reads goes by the map. Everything else is a transaction that begins by asking the shard
    whether the bucket is its own, and keeps it so until the end.
    """

    def __init__(self, routes: Routes, bucket: str) -> None:
        self._routes = routes
        self._map = routes.map
        self.bucket = bucket

    @property
    def dialect(self) -> str:
        return next(iter(self._routes.databases.values())).dialect

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        return await self._fetch(sql, lambda session: session.fetch_all(sql, params))

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        return await self._fetch(sql, lambda session: session.fetch_one(sql, params))

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        return await self._fetch(sql, lambda session: session.fetch_value(sql, params))

    def within(self) -> AbstractAsyncContextManager[SqlSession]:
        return self.transaction()

    async def stream(self, sql: str, params: Params = ()) -> AsyncGenerator[Row, None]:
        # What was given out cannot be taken back, so the shard itself is asked first.
        async with (
            self.transaction(read_only=only_reads(sql)) as session,
            aclosing(session.stream(sql, params)) as rows,
        ):
            async for row in rows:
                yield row

    async def _fetch(self, sql: str, read: Callable[[SqlSession], Awaitable[T]]) -> T:
        if not only_reads(sql):
            async with self.transaction() as session:
                return await read(session)
        known = self._map
        place = known.known(self.bucket) or await known.find(self.bucket)
        if known.fresh:
            answer = await read(self._routes.databases[place.shard])
            # Rows leave a shard a map's lifetime after the map has changed, so they were all there if
            # the map of this moment says the same.
            if known.says(self.bucket, place):
                return answer
        async with self.transaction(read_only=True) as session:
            return await read(session)

    @asynccontextmanager
    async def transaction(
        self, *, read_only: bool = False, isolation: Isolation | None = None
    ) -> AsyncIterator[SqlSession]:
        """A session on the shard that has the bucket, which it keeps until the end if it writes.

        Raises:
            CrossShardError: The task is in a transaction that writes to another shard.
            ShardMovingError: The bucket was closed for too long.
            ShardUnknownError: The directory has no entry for the key.
        """
        routes, wait = self._routes, FIRST_WAIT
        until = anyio.current_time() + routes.write_wait
        while True:
            place = self._map.known(self.bucket) or await self._map.find(self.bucket)
            task = self._enter(place) if not read_only else 0
            try:
                database = routes.databases[place.shard]
                async with database.transaction(
                    read_only=read_only, isolation=isolation
                ) as session:
                    if await self._has(session, place, read_only=read_only):
                        try:
                            yield session
                        except SqlError as error:
                            if not _met_a_trigger_that_went(error):
                                raise
                            raise SqlConflictError(str(error), sqlstate="40001") from error
                        return
            finally:
                if task:
                    del routes.writing[task]
            if await self._settle(place):
                continue
            if anyio.current_time() >= until:
                raise ShardMovingError(
                    f"bucket {self.bucket!r} is being moved, and was closed for {routes.write_wait:g} s"
                )
            await anyio.sleep(wait)
            wait = min(LONGEST_WAIT, 2 * wait)

    def _enter(self, place: Placement) -> int:
        task, writing = anyio.get_current_task().id, self._routes.writing
        if task in writing and writing[task][1] != place.shard:
            raise CrossShardError(writing[task][1], place.shard)
        if task in writing:
            return 0  # the pool says what is wrong with a second connection of it
        writing[task] = (self.bucket, place.shard)
        return task

    async def _has(self, session: SqlSession, place: Placement, *, read_only: bool) -> bool:
        ownership = self._routes.ownership[place.shard]
        try:
            state = await ownership.look(session, self.bucket, read_only=read_only)
        except SqlConflictError:
            # Its row changed between the snapshot and the lock: whatever it is now, look again.
            return False
        if read_only:
            # Rows stay readable where they were until they are closed to writes for good.
            return state in ("owned", "closed") or (state == "" and place.epoch == 1)
        return state == "owned"

    async def _settle(self, place: Placement) -> bool:
        """Find out what stood in the way; whether to try again at once."""
        routes = self._routes
        database, ownership = routes.databases[place.shard], routes.ownership[place.shard]
        async with on_primary(database) as session:
            row = await ownership.full(session, self.bucket)
        if row is None and place.epoch == 1:
            # It has been here from the start, or there would be a row that says otherwise.
            await ownership.install(database, self.bucket)
            return True
        if row is not None and row["state"] == "closed":
            return await ownership.reopen(database, self.bucket)
        if row is not None and row["state"] == "owned":
            return False
        self._map.forget(self.bucket)
        await self._map.refresh()
        now = await self._map.find(self.bucket)
        if now == place and row is not None and row["state"] == "gone":
            # Whoever moved it got as far as the one step that counts, and no further.
            target = row["successor"]
            await complete(
                self._map, routes.databases[target], self.bucket, place, target, row["run"]
            )
            return True
        return now != place
