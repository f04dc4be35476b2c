"""The schema that the configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from covet_graphql._binding import GraphqlBinding
from covet_graphql._config import GraphqlConfig
from covet_graphql._schema import Served, build
from covet_operations import Endpoint


def served(
    endpoints: Sequence[Endpoint[GraphqlBinding]], config: GraphqlConfig, directory: Path
) -> Served:
    """What is served: made of the operations, or of a file that they are bound to.

    Raises:
        ConfigurationError: It cannot be made.
    """
    if config.schema_file:
        from covet_graphql._sdl import build_first

        made = build_first(directory / config.schema_file, endpoints)
    else:
        made = build(endpoints, federated=config.federation)
    if config.incremental:
        made.allow_parts()
    return made
