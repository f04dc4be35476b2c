"""What holds for every plugin holds for this one."""

from __future__ import annotations

from covet_kernel.testing import PluginContract
from covet_operations import Operations
from covet_sqlite import Sqlite
from covet_tenants import TenantsPlugin


class TestTenants(PluginContract):
    plugin = TenantsPlugin
    config = {"tenants": ["acme"]}
    with_plugins = {"operations": Operations, "sqlite": Sqlite}
    with_config = {"sqlite": {"path": "a.db"}, "operations": {}}
