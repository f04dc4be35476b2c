"""The table ``[plugins.sql]``."""

from __future__ import annotations

from pydantic import Field

from covet_kernel import PluginConfig


class SqlConfig(PluginConfig):
    """The table ``[plugins.sql]``."""

    statement_cache: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="How many shapes of statements are kept compiled; the least used leave first.",
    )
