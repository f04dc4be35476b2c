"""What the tables of the rules have in common."""

from __future__ import annotations

from pydantic import ConfigDict

from covet_kernel import PluginConfig


class RuleConfig(PluginConfig):
    """Base of the tables: built with the table around them, not once more by themselves."""

    model_config = ConfigDict(defer_build=True)
