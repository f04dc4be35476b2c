"""GraphQL: operations and typed models as one schema."""

from __future__ import annotations

from covet_graphql._binding import GraphqlBinding
from covet_graphql._call import FieldCall
from covet_graphql._config import GraphqlConfig
from covet_graphql._connection import Connection, Edge, PageInfo, connection, offset_after
from covet_graphql._loading import Load, Loader, Loading
from covet_graphql._marks import (
    ID,
    Scalar,
    Union,
    entity,
    field,
    interface,
    key,
    loader,
    mutation,
    named,
    query,
    resolver,
    subscription,
)
from covet_graphql._plugin import Graphql

__all__ = [
    "ID",
    "Connection",
    "Edge",
    "FieldCall",
    "Graphql",
    "GraphqlBinding",
    "GraphqlConfig",
    "Load",
    "Loader",
    "Loading",
    "PageInfo",
    "Scalar",
    "Union",
    "connection",
    "entity",
    "field",
    "interface",
    "key",
    "loader",
    "mutation",
    "named",
    "offset_after",
    "query",
    "resolver",
    "subscription",
]
