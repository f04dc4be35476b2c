"""The plugin: opens the map when the shards are up, and keeps it up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from covet_kernel import ConfigurationError, Context, Plugin
from covet_kernel.contracts import SQL, Capability, Command, Interceptor, Metric, SqlDatabase
from covet_operations import ErrorMapping, Invalid, NotFound, Unavailable
from covet_sharding._calls import EXTRA, ShardKey
from covet_sharding._config import ShardingConfig
from covet_sharding._errors import GatherError, ShardKeyError, ShardMovingError, ShardUnknownError
from covet_sharding._map import ShardMap
from covet_sharding._shards import SHARDS, Shards, routed
from covet_sharding._strategies import strategy_of
from covet_sharding._tables import HOME, SHARD, make_tables
from covet_sql.routing import KeySource, RoutesCalls


class Sharding(Plugin[ShardingConfig]):
    """Provides several SQL databases as one, spread by a key."""

    implies = ("operations",)

    def __init__(self, config: ShardingConfig) -> None:
        super().__init__(config)
        self._name = "sharding"
        self._shards: Shards | None = None

    @property
    def requires(self) -> Sequence[Capability[Any]]:
        """The shards, and where the map is."""
        names = dict.fromkeys((*self.config.shards, self.config.home))
        return tuple(SQL.named(name) for name in names)

    @property
    def provides(self) -> Sequence[Capability[Any]]:
        """`SHARDS`, and the shard of a call as an SQL database."""
        return (SHARDS, SQL.named(self.config.name))

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Make the map if there is none, and read it as long as the service runs."""
        self._name = ctx.name
        databases = {name: ctx.require(SQL.named(name)) for name in self.config.shards}
        home = ctx.require(SQL.named(self.config.home))
        self._shards = shards = await opened(self.config, ctx.name, databases, home)
        ctx.provide(SHARDS, shards)
        ctx.provide(SQL.named(self.config.name), routed(shards))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shards.map.keep, self.config.refresh)
            yield
            tasks.cancel_scope.cancel()

    def covet_commands(self) -> Iterable[Command]:
        """``covet shards``."""
        from covet_sharding._command import shards_command

        return (shards_command(),)

    def covet_interceptors(self) -> Iterable[Interceptor]:
        """Finds the key of each call."""
        if (shards := self._shards) is not None:
            yield RoutesCalls(
                self._name,
                mark=ShardKey,
                extra=EXTRA,
                default=KeySource.parse(self.config.key) if self.config.key else None,
                key=shards.key,
            )

    def covet_error_mappings(self) -> Iterable[ErrorMapping]:
        """What callers are told."""
        for exception, answer, detail in (
            (ShardKeyError, Invalid, "there is no key by which this can be found"),
            (ShardUnknownError, NotFound, "there is nothing under this key"),
            (ShardMovingError, Unavailable, "this is being moved; try again"),
            (GatherError, Unavailable, "not every part of the data could be asked; try again"),
        ):
            yield ErrorMapping(exception=exception, answer=answer, detail=detail)

    def covet_metrics(self) -> Iterable[Metric]:
        """How the buckets are spread, and what is being moved."""
        if (shards := self._shards) is None:
            return
        known = shards.map

        def spread() -> list[tuple[tuple[str, ...], float]]:
            counts = dict.fromkeys(shards.names, 0)
            for each in known.buckets.values():
                counts[each.shard] += 1
            return [((name,), float(count)) for name, count in counts.items()]

        if known.strategy.complete:
            yield Metric(
                name=f"{self._name}.buckets",
                kind="gauge",
                read=spread,
                labels=("shard",),
                help="Buckets that each shard has.",
            )
        yield Metric(
            name=f"{self._name}.moving",
            kind="gauge",
            read=lambda: [((), len(known.moving))],
            help="Buckets that are being moved.",
        )
        yield Metric(
            name=f"{self._name}.map_version",
            kind="gauge",
            read=lambda: [((), known.version)],
            help="The map that this process goes by.",
        )


async def opened(
    config: ShardingConfig, name: str, databases: Mapping[str, SqlDatabase], home: SqlDatabase
) -> Shards:
    """The sharded database, with its tables and its map.

    Raises:
        ConfigurationError: The map is for another configuration.
    """
    place = f"[plugins.{name}]"
    dialects = {each.dialect for each in databases.values()}
    if len(dialects) > 1:
        raise ConfigurationError(
            "COVET-SHARD-MAP",
            f"the shards are of different kinds: {', '.join(sorted(dialects))}.",
            place=f"{place} shards",
            fix="Rows move between them, and statements run on any: use one kind.",
        )
    await make_tables(home, HOME)
    for each in databases.values():
        await make_tables(each, SHARD)
    known = ShardMap(
        name,
        home,
        strategy_of(config),
        lifetime=config.map_lifetime,
        entries=config.directory_cache,
    )
    await known.begin(place)
    unknown = (await known.used()).keys() - databases.keys()
    if unknown:
        raise ConfigurationError(
            "COVET-SHARD-MAP",
            f"the map has buckets on {', '.join(sorted(unknown))}, which is not configured.",
            place=f"{place} shards",
            valid=sorted(databases),
            fix="Configure it, move its buckets away with covet shards move, and remove it then.",
        )
    return Shards(config, databases, known)
