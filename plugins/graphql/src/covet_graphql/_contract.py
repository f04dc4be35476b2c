"""What the service promises as GraphQL: its schema as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from covet_graphql._binding import GraphqlBinding
from covet_graphql._codec import codec
from covet_graphql._config import GraphqlConfig
from covet_graphql._making import served
from covet_operations import ContractView

FILE: Final = "schema.graphql"


def render(view: ContractView, config: GraphqlConfig) -> Mapping[str, str]:
    """The schema of the operations; nothing where there is none."""
    endpoints = view.pipeline.compile(view.serving, GraphqlBinding, codec)
    if not endpoints:
        return {}
    return {FILE: served(endpoints, config, view.assembly.settings.directory).sdl + "\n"}
