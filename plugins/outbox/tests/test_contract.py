"""What holds for every plugin holds for this one."""

from __future__ import annotations

from covet_kernel.testing import PluginContract
from covet_memory import Memory
from covet_outbox import OutboxPlugin
from covet_sqlite import Sqlite


class TestOutbox(PluginContract):
    plugin = OutboxPlugin
    config = {"poll": 0.05}
    with_plugins = {"sqlite": Sqlite, "memory": Memory}
    with_config = {"sqlite": {"path": "test.db"}}
