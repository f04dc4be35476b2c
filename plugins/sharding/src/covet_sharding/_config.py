"""The table ``[plugins.sharding]``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from covet_kernel import PluginConfig
from covet_sharding._ranges import Bound, check_ranges
from covet_sql.routing import KeyPlace


class Range(PluginConfig):
    """One range of keys."""

    start: Bound | None = Field(
        None, description="The first key in it; left out: there is no lower end."
    )
    end: Bound | None = Field(
        None, description="The first key behind it; left out: there is no upper end."
    )
    shard: str = Field(description="Where it is at first; `covet shards move` moves it.")


class Table(PluginConfig):
    """A table whose rows are spread over the shards."""

    name: str = Field(min_length=1, max_length=63, description="Its name, without a schema.")
    key: str = Field(min_length=1, max_length=63, description="The column with the key.")
    primary_key: tuple[str, ...] = Field(
        ("id",), min_length=1, description="The columns of its primary key."
    )


class ShardingConfig(PluginConfig):
    """The table ``[plugins.sharding]``. All times in seconds."""

    shards: tuple[str, ...] = Field(
        min_length=1, description="The SQL instances that hold the rows, by name."
    )
    home: str = Field(
        "",
        description="The SQL instance that holds the map; '' is the default one; it may be a shard.",
    )
    name: str = Field(
        "shard",
        min_length=1,
        description="The SQL instance under which handlers find the shard of their call.",
    )
    strategy: Literal["hash", "range", "directory"] = Field(
        "hash",
        description="How a key tells its bucket: by its hash, by the range it is in, or by an entry"
        " for each.",
    )
    buckets: int = Field(
        1024,
        ge=1,
        le=65_536,
        description="Of the strategy 'hash': what is moved as a whole. It cannot be changed later.",
    )
    ranges: tuple[Range, ...] = Field((), description="Of the strategy 'range', in order.")
    tables: tuple[Table, ...] = Field(
        (), description="What a move takes along: those that others refer to first."
    )
    key: KeyPlace = Field(
        "",
        description="Where a call's key is unless its operation says: 'header:NAME', 'claim:NAME',"
        " 'principal', 'input:NAME' or 'host:*.example.org'.",
    )
    refresh: PositiveFloat = Field(1.0, description="How often a process looks for a new map.")
    map_lifetime: PositiveFloat = Field(
        10.0,
        description="How old a map may be that reads go by, and how long a move leaves the rows where"
        " they were; the same in all processes.",
    )
    write_wait: PositiveFloat = Field(
        5.0, description="How long a write waits while its bucket is closed for the end of a move."
    )
    directory_cache: int = Field(
        10_000, ge=1, le=1_000_000, description="Entries of a directory that are remembered."
    )
    gather_concurrency: int = Field(
        8, ge=1, le=1000, description="Shards that a query over all is run on at once."
    )
    gather_rows: int = Field(
        10_000, ge=1, le=1_000_000, description="Rows that a query over all may hold."
    )
    gather_timeout: PositiveFloat = Field(
        5.0, description="How long each shard has to answer a query over all."
    )

    @field_validator("shards")
    @classmethod
    def _are_different(cls, shards: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(shards)) != len(shards):
            raise ValueError("a shard is there twice")
        return shards

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.strategy == "range":
            check_ranges([(each.start, each.end) for each in self.ranges])
        elif self.ranges:
            raise ValueError("ranges are for strategy = 'range'")
        for each in self.ranges:
            if each.shard not in self.shards:
                raise ValueError(f"a range is on {each.shard!r}, which is none of the shards")
        names = [each.name for each in self.tables]
        if len(set(names)) != len(names):
            raise ValueError("a table is there twice")
        return self
