"""What holds for every plugin holds for this one."""

from __future__ import annotations

from covet_kernel.testing import PluginContract
from covet_sqlite import Sqlite


class TestSqlite(PluginContract):
    plugin = Sqlite


class TestSqliteInMemory(PluginContract):
    plugin = Sqlite
    config = {"path": ":memory:"}
