"""The plugin: adds ``covet contract``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from covet_contract._config import ContractConfig
from covet_kernel import Command, Plugin

if TYPE_CHECKING:
    from covet_operations import ContractDocument


class ContractPlugin(Plugin[ContractConfig]):
    """Writes the documents that plugins describe their protocols by, and compares them."""

    implies = ("operations",)

    def covet_commands(self) -> Iterable[Command]:
        """``covet contract``."""
        from covet_contract._commands import command

        yield command(self.config)

    def covet_contract_documents(self) -> Iterable[ContractDocument]:
        """AsyncAPI: channels may be anybody's, so no one transport can describe them."""
        from covet_contract._asyncapi._document import render
        from covet_operations import ContractDocument

        yield ContractDocument(kind="asyncapi", render=partial(render, config=self.config))
