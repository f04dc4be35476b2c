"""Errors on the wire: ``errors`` of an answer, from the one registry all protocols share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from graphql import GraphQLError, Node

from covet_graphql._plan import PlannedField
from covet_graphql._request import BAD_QUERY
from covet_operations import Internal, OperationError

TOO_COSTLY: Final = "graphql-limit"
"""It is over a limit."""


def refused(error: GraphQLError, code: str = BAD_QUERY) -> dict[str, Any]:
    """An error of a document or of its variables."""
    found: dict[str, Any] = {"message": error.message}
    if error.locations:
        found["locations"] = [
            {"line": each.line, "column": each.column} for each in error.locations
        ]
    if error.path:
        found["path"] = list(error.path)
    found["extensions"] = {"code": (error.extensions or {}).get("code", code)}
    return found


def failed(
    error: Exception, field: PlannedField, path: Sequence[str | int], typed: OperationError | None
) -> dict[str, Any]:
    """An error of a field.

    Args:
        error: What was raised.
        field: The field.
        path: Where it is in the answer.
        typed: What callers are told of it; ``None`` for an error of graphql-core's, which says
            nothing that is secret.
    """
    locations = list(_locations(field.nodes))
    if typed is None:
        message = error.message if isinstance(error, GraphQLError) else Internal.title
        extensions: dict[str, Any] = {"code": Internal.code}
    else:
        message = typed.detail or typed.title
        extensions = {"code": typed.code, **typed.fields()}
    return {
        "message": message,
        "locations": locations,
        "path": list(path),
        "extensions": extensions,
    }


def _locations(nodes: Iterable[Node]) -> Iterable[dict[str, int]]:
    for node in nodes:
        if node.loc is not None:
            start = node.loc.source.get_location(node.loc.start)
            yield {"line": start.line, "column": start.column}
