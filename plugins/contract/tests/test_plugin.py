"""What holds for every plugin holds for this one."""

from __future__ import annotations

from covet_contract import ContractPlugin
from covet_kernel.testing import PluginContract
from covet_operations import Operations


class TestContract(PluginContract):
    plugin = ContractPlugin
    with_plugins = {"operations": Operations}
