"""The table ``[plugins.contract]``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from covet_kernel import PluginConfig


class ContractConfig(PluginConfig):
    """The table ``[plugins.contract]``."""

    folder: Path = Field(
        Path("contract"),
        description="Where `covet contract export` writes to; begins beside covet.toml.",
    )
    title: str = Field("Service", description="What the AsyncAPI document calls the service.")
    version: str = Field("0.1.0", description="The version that document says it is of.")
    description: str = Field("", description="What that document says the service is for.")
