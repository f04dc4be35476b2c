"""The map: which shard has which bucket. It is kept in the home database, and read from time to time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

import anyio

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlDatabase, SqlError, SqlIntegrityError
from covet_sharding._errors import ShardUnknownError
from covet_sharding._primary import on_primary
from covet_sharding._strategies import Strategy
from covet_sharding._tables import insert_new

VERSION = "SELECT version, strategy FROM covet_shard_version WHERE space = ?"
MAP = "SELECT bucket, shard, epoch FROM covet_shard_map WHERE space = ?"
ENTRY = "SELECT shard, epoch FROM covet_shard_map WHERE space = ? AND bucket = ?"
MOVES = "SELECT bucket, source, target, step FROM covet_shard_move WHERE space = ?"
RAISE = "UPDATE covet_shard_version SET version = version + 1 WHERE space = ?"


class Placement(NamedTuple):
    """Where a bucket is.

    Attributes:
        shard: Its name.
        epoch: How often it has moved, and one.
    """

    shard: str
    epoch: int


class ShardMap:
    """What one process knows of the map.

    Args:
        space: Whose map it is: the plugin instance's name.
        home: Where it is kept.
        strategy: What it is a map for.
        lifetime: Seconds for which what was read is gone by.
        entries: How many of a directory's are remembered.

    Attributes:
        version: Of the map that was read.
        moving: The buckets that are being moved, with source and target.
    """

    def __init__(
        self, space: str, home: SqlDatabase, strategy: Strategy, *, lifetime: float, entries: int
    ) -> None:
        self.space = space
        self.home = home
        self.strategy = strategy
        self.version = 0
        self.moving: dict[str, tuple[str, str]] = {}
        self._lifetime = lifetime
        self._entries = entries
        self._buckets: Mapping[str, Placement] = {}
        self._remembered: OrderedDict[str, tuple[Placement, int]] = OrderedDict()
        self._read_at = float("-inf")

    @property
    def buckets(self) -> Mapping[str, Placement]:
        """All of them, of a strategy that knows all."""
        return self._buckets

    @property
    def fresh(self) -> bool:
        """Whether reads may go by it: no move has got as far as taking rows away since it was read."""
        return monotonic() - self._read_at < self._lifetime

    def known(self, bucket: str) -> Placement | None:
        """Where a bucket is, as far as it is known here, however long ago that was read."""
        if self.strategy.complete:
            return self._buckets.get(bucket)
        entry = self._remembered.get(bucket)
        if entry is None or entry[1] != self.version:
            return None
        self._remembered.move_to_end(bucket)
        return entry[0]

    def says(self, bucket: str, place: Placement) -> bool:
        """Whether reads may go by the bucket's being there, at this moment."""
        return self.fresh and self.known(bucket) == place

    async def find(self, bucket: str) -> Placement:
        """Where a bucket is.

        Raises:
            ShardUnknownError: There is no entry for it.
            SqlError: The home database has to be asked, and does not answer.
        """
        found = self.known(bucket)
        if found is None and self.strategy.complete:
            await self.refresh()
            found = self.known(bucket)
        elif found is None:
            version = self.version
            async with on_primary(self.home) as session:
                row = await session.fetch_one(ENTRY, (self.space, bucket))
            if row is not None:
                found = Placement(row["shard"], row["epoch"])
                self._remembered[bucket] = (found, version)
                while len(self._remembered) > self._entries:
                    self._remembered.popitem(last=False)
        if found is None:
            raise ShardUnknownError("no shard is known for this key")
        return found

    def forget(self, bucket: str) -> None:
        """What is known of a bucket has proved wrong."""
        self._remembered.pop(bucket, None)

    async def refresh(self) -> bool:
        """Read the map if it has changed; whether it had.

        Raises:
            SqlError: The home database does not answer.
        """
        begun = monotonic()
        async with on_primary(self.home) as session:
            row = await session.fetch_one(VERSION, (self.space,))
        version = 0 if row is None else int(row["version"])
        if version == self.version:
            self._read_at = begun
            return False
        # One snapshot for all of it: a bucket that is neither moving nor moved would be read twice.
        async with on_primary(self.home, isolation="repeatable read") as session:
            row = await session.fetch_one(VERSION, (self.space,))
            moves = await session.fetch_all(MOVES, (self.space,))
            rows = await session.fetch_all(MAP, (self.space,)) if self.strategy.complete else []
        self._buckets = {each["bucket"]: Placement(each["shard"], each["epoch"]) for each in rows}
        self.moving = {each["bucket"]: (each["source"], each["target"]) for each in moves}
        self.version = 0 if row is None else int(row["version"])
        self._read_at = begun
        return True

    async def keep(self, interval: float, failed: float = 0.2) -> None:
        """Read it again and again."""
        while True:
            await anyio.sleep(interval)
            try:
                with anyio.fail_after(self._lifetime):
                    await self.refresh()
            except (SqlError, TimeoutError):
                # Reads look at the shards themselves when it is too old, and writes always do.
                await anyio.sleep(failed)

    async def begin(self, place: str) -> None:
        """See that there is a map, for this strategy.

        Raises:
            ConfigurationError: The one that is there is for another.
        """
        row = await self.home.fetch_one(VERSION, (self.space,))
        if row is None:
            with suppress(SqlIntegrityError):  # another process was as quick
                await self._make()
            row = await self.home.fetch_one(VERSION, (self.space,))
        assert row is not None
        if row["strategy"] != self.strategy.description:
            raise ConfigurationError(
                "COVET-SHARD-MAP",
                f"the map is for {row['strategy']!r}, and the configuration says"
                f" {self.strategy.description!r}.",
                place=place,
                fix="Rows lie where the map says: configure what it is for.",
            )
        await self.refresh()

    async def _make(self) -> None:
        first = self.strategy.first_map()
        async with self.home.transaction() as session:
            await session.execute(
                "INSERT INTO covet_shard_version (space, version, strategy) VALUES (?, 1, ?)",
                (self.space, self.strategy.description),
            )
            if first:
                await session.execute_many(
                    "INSERT INTO covet_shard_map (space, bucket, shard, epoch) VALUES (?, ?, ?, 1)",
                    [(self.space, bucket, shard) for bucket, shard in first.items()],
                )

    async def add(self, bucket: str, shard: str) -> Placement:
        """Have a directory's key on a shard, unless it has one already; where it is.

        Raises:
            SqlError: The home database does not answer.
        """
        text = insert_new(
            self.home.dialect, "covet_shard_map", ("space", "bucket", "shard", "epoch")
        )
        await self.home.execute(text, (self.space, bucket, shard, 1))
        self.forget(bucket)
        return await self.find(bucket)

    async def used(self) -> dict[str, int]:
        """How many buckets each shard has."""
        rows = await self.home.fetch_all(
            "SELECT shard, count(*) AS buckets FROM covet_shard_map WHERE space = ? GROUP BY shard",
            (self.space,),
        )
        return {row["shard"]: row["buckets"] for row in rows}
