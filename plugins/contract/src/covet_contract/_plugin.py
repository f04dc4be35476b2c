"""The plugin: adds ``covet contract``."""

from __future__ import annotations

from collections.abc import Iterable

from covet_contract._config import ContractConfig
from covet_kernel import Command, Plugin


class ContractPlugin(Plugin[ContractConfig]):
    """Writes the documents that plugins describe their protocols by, and compares them."""

    implies = ("operations",)

    def covet_commands(self) -> Iterable[Command]:
        """``covet contract``."""
        from covet_contract._commands import command

        yield command(self.config)
