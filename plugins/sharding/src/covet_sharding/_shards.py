"""The sharded database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from covet_kernel.contracts import SQL, Capability, Params, Row, SqlDatabase
from covet_sharding._config import ShardingConfig
from covet_sharding._database import Routes, ShardDatabase
from covet_sharding._errors import GatherError, ShardKeyError
from covet_sharding._gather import Gather, Gathered, Keep, Limits, key_column
from covet_sharding._map import ShardMap
from covet_sql.routing import RoutedDatabase

TRIES = 3
"""How often a query over all is run because buckets began or ended to move meanwhile."""


class Shards:
    """Rows that are spread over several databases by a key.

    Args:
        config: Limits.
        databases: The shards by name.
        map: Which of them has what.

    Attributes:
        map: The map as this process knows it.
        key: The key of the call that is answered, ``None`` if there is none.
    """

    def __init__(
        self, config: ShardingConfig, databases: Mapping[str, SqlDatabase], map: ShardMap
    ) -> None:
        self.map = map
        self.key: ContextVar[Any] = ContextVar("covet_sharding.key", default=None)
        self._config = config
        self._databases = databases
        self._routes = Routes(databases, map, config.write_wait)

    @property
    def names(self) -> tuple[str, ...]:
        """The shards."""
        return tuple(self._databases)

    @property
    def dialect(self) -> str:
        """The shards' own."""
        return next(iter(self._databases.values())).dialect

    def shard(self, name: str) -> SqlDatabase:
        """A shard as it is: nothing looks whether a row belongs there. For tables and administration.

        Raises:
            KeyError: There is none of that name.
        """
        return self._databases[name]

    def of(self, key: object) -> ShardDatabase:
        """The `SqlDatabase` of the one shard that has a key, wherever that is by the time it is used.

        What only reads runs there at once. A write is a transaction which holds the key's bucket in
        its place until it commits; while the bucket is closed at the end of a move it waits.

        Raises:
            ShardKeyError: It can be no key.
        """
        return ShardDatabase(self._routes, self.map.strategy.bucket(key))

    def of_call(self) -> ShardDatabase:
        """The same for the key of the call that is answered.

        Raises:
            ShardKeyError: The call has none.
        """
        key = self.key.get()
        if key is None:
            raise ShardKeyError(
                "the call has no key to tell the shard by: mark a parameter with ShardKey(), or say"
                " where the key is with shard_by() or [plugins.sharding] key"
            )
        return self.of(key)

    @contextmanager
    def using(self, key: object) -> Iterator[ShardDatabase]:
        """Have this be the key in the block, as a call would have it: of a job, of a test."""
        token = self.key.set(key)
        try:
            yield self.of(key)
        finally:
            self.key.reset(token)

    async def where(self, key: object) -> str:
        """The shard that has a key.

        Raises:
            ShardUnknownError: The directory has no entry for it.
        """
        return (await self.map.find(self.map.strategy.bucket(key))).shard

    async def assign(self, key: object, shard: str = "") -> str:
        """Give a directory's new key a shard; one that has a shard keeps it.

        Args:
            key: The key.
            shard: Where it is to be; the one with the fewest keys unless given.

        Returns:
            Where it is.

        Raises:
            ShardKeyError: It can be no key, or the strategy has no directory.
            ValueError: There is no such shard.
        """
        if self.map.strategy.complete:
            raise ShardKeyError("only keys of a directory are assigned: others have their place")
        if shard and shard not in self._databases:
            raise ValueError(f"{shard!r} is none of the shards {', '.join(self._databases)}")
        if not shard:
            used = await self.map.used()
            shard = min(self._databases, key=lambda name: used.get(name, 0))
        return (await self.map.add(self.map.strategy.bucket(key), shard)).shard

    async def gather(
        self,
        sql: str,
        params: Params = (),
        *,
        key: str = "",
        order_by: Sequence[str] = (),
        limit: int | None = None,
        max_rows: int | None = None,
        timeout: float | None = None,
        shards: Collection[str] | None = None,
        partial: bool = False,
        exact: bool = True,
    ) -> Gathered:
        """Run a query on all shards, and put together what they answer.

        Args:
            sql: The query. It names no LIMIT; with ``order_by`` it has an ORDER BY that says the same.
            params: Its parameters.
            key: The column of its rows with the key. While buckets move, their rows are on two shards,
                and it tells those that count.
            order_by: The columns of its order, with ``-`` before those that go down.
            limit: How many rows are wanted, of all shards together.
            max_rows: How many rows may be held; the configured number at most.
            timeout: Seconds for each shard; the configured time at most.
            shards: Only these.
            partial: Answer with the rows of the shards that could be asked; ``failed`` names the others.
            exact: Refuse an answer in which rows that are being moved may count twice. ``False`` takes it.

        Raises:
            GatherError: A shard has failed, or the answer would not be exact.
            GatherLimitError: There are too many rows.
        """
        config = self._config
        unknown = set(shards or ()) - self._databases.keys()
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: there are no such shards")
        chosen = {
            name: each for name, each in self._databases.items() if shards is None or name in shards
        }
        limits = Limits(
            config.gather_concurrency,
            min(max_rows or config.gather_rows, config.gather_rows),
            min(timeout or config.gather_timeout, config.gather_timeout),
        )
        for _ in range(TRIES):
            version, keep = await self._kept(key, exact=exact)
            gather = Gather(sql, params, order_by=order_by, limit=limit, limits=limits, keep=keep)
            found = await gather.run(chosen, partial=partial)
            if not exact or await self._is_still(version):
                return found
        raise GatherError(f"the map has changed {TRIES} times meanwhile: ask again")

    async def _kept(self, key: str, *, exact: bool) -> tuple[int, Keep | None]:
        """The version of the map, and which rows count while buckets are on two shards."""
        known = self.map
        if not known.fresh:
            await known.refresh()
        version, moving = known.version, tuple(known.moving)
        if not moving or not (key or exact):
            return version, None
        if not key:
            raise GatherError(
                "buckets are being moved, and without `key` rows of theirs would count twice: name the"
                " column, or say exact=False"
            )
        places = {name: (await known.find(name)).shard for name in moving}
        bucket_of = known.strategy.bucket

        def keep(shard: str, row: Row) -> bool:
            return places.get(bucket_of(key_column(row, key)), shard) == shard

        return version, keep

    async def _is_still(self, version: int) -> bool:
        """Whether what was read by a map of this version was all there, and there once."""
        if not self.map.fresh:
            await self.map.refresh()
        return self.map.version == version


SHARDS: Final = Capability[Shards]("sharding.shards", plugins=("sharding",))
"""The sharded database."""

SHARD: Final[Capability[SqlDatabase]] = SQL.named("shard")
"""The shard of the call that is answered: ``Annotated[SqlSession, SHARD]``."""


def routed(shards: Shards) -> RoutedDatabase:
    """An `SqlDatabase` that is the shard of whoever calls."""
    return RoutedDatabase(shards.dialect, shards.of_call)
