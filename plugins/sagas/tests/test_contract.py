"""What holds for every plugin holds for this one."""

from __future__ import annotations

from covet_kernel.testing import PluginContract
from covet_sagas import SagasPlugin
from covet_sqlite import Sqlite


class TestSagas(PluginContract):
    plugin = SagasPlugin
    config = {"poll": 0.05}
    with_plugins = {"sqlite": Sqlite}
    with_config = {"sqlite": {"path": "test.db"}}
