"""What holds for every plugin holds for this one."""

from __future__ import annotations

from covet_kernel.testing import PluginContract
from covet_migrations import MigrationsPlugin


class TestMigrations(PluginContract):
    plugin = MigrationsPlugin
