"""One request of GraphQL's, whatever has brought it: a document, a name, variables, extensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from graphql import GraphQLError

from covet_graphql._documents import BadRequestError

_NOTHING: Final[Mapping[str, Any]] = {}
MALFORMED: Final = "graphql-malformed"
"""A request that is no request of GraphQL's."""


class Asked(NamedTuple):
    """What is asked.

    Attributes:
        query: The document; ``None`` where an extension names it.
        operation: Which operation of it; ``None``: the only one.
        variables: By name, as they came.
        extensions: By name, as they came.
    """

    query: str | None
    operation: str | None
    variables: Mapping[str, Any]
    extensions: Mapping[str, Any]


def asked(document: Any) -> Asked:
    """What a JSON value asks.

    Raises:
        BadRequestError: It is no request.
    """
    if not isinstance(document, dict):
        raise malformed("The request has to be a JSON object.")
    query = document.get("query")
    operation = document.get("operationName")
    variables = document.get("variables")
    extensions = document.get("extensions")
    if query is not None and not isinstance(query, str):
        raise malformed("'query' has to be a string.")
    if operation is not None and not isinstance(operation, str):
        raise malformed("'operationName' has to be a string or null.")
    if variables is not None and not isinstance(variables, dict):
        raise malformed("'variables' has to be an object or null.")
    if extensions is not None and not isinstance(extensions, dict):
        raise malformed("'extensions' has to be an object or null.")
    return Asked(query, operation or None, variables or _NOTHING, extensions or _NOTHING)


def malformed(message: str) -> BadRequestError:
    """The error of a request that is none."""
    return BadRequestError([GraphQLError(message)], MALFORMED)
