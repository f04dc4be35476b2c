"""What holds for every plugin holds for this one."""

from __future__ import annotations

from covet_kernel.testing import PluginContract
from covet_operations import Operations
from covet_sharding import Sharding
from covet_sqlite import Sqlite


class TestSharding(PluginContract):
    plugin = Sharding
    config = {"shards": ["a"], "home": "a", "buckets": 4}
    with_plugins = {"operations": Operations, "sqlite": Sqlite}
    with_config = {"sqlite/a": {"path": "a.db"}, "operations": {}}
