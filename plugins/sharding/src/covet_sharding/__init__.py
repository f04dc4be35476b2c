"""Sharding: rows of one table over several SQL databases, told apart by a key of the call."""

from covet_sharding._calls import ShardKey, shard_by
from covet_sharding._config import ShardingConfig
from covet_sharding._database import ShardDatabase
from covet_sharding._errors import (
    CrossShardError,
    GatherError,
    GatherLimitError,
    ShardKeyError,
    ShardMovingError,
    ShardUnknownError,
)
from covet_sharding._gather import Gathered
from covet_sharding._plugin import Sharding
from covet_sharding._shards import SHARD, SHARDS, Shards
from covet_sharding._strategies import hash_of

__all__ = [
    "SHARD",
    "SHARDS",
    "CrossShardError",
    "GatherError",
    "GatherLimitError",
    "Gathered",
    "ShardDatabase",
    "ShardKey",
    "ShardKeyError",
    "ShardMovingError",
    "ShardUnknownError",
    "Sharding",
    "ShardingConfig",
    "Shards",
    "hash_of",
    "shard_by",
]
