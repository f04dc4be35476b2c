"""What the service promises as GraphQL: its schema as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from covet_graphql._binding import GraphqlBinding
from covet_graphql._codec import codec
from covet_graphql._schema import build
from covet_operations import ContractView

FILE: Final = "schema.graphql"


def render(view: ContractView) -> Mapping[str, str]:
    """The schema of the operations; nothing where there is none."""
    endpoints = view.pipeline.compile(view.serving, GraphqlBinding, codec)
    return {FILE: build(endpoints).sdl + "\n"} if endpoints else {}
