"""One request of GraphQL's, whatever has brought it: a document, a name, variables, extensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from covet_operations import OperationError

if TYPE_CHECKING:
    from graphql import GraphQLError

Answer: TypeAlias = dict[str, Any]
"""``data``, ``errors`` and ``extensions``, as they are sent."""
_NOTHING: Final[Mapping[str, Any]] = {}
MALFORMED: Final = "graphql-malformed"
"""A request that is no request of GraphQL's."""
BAD_QUERY: Final = "graphql-invalid"
"""What is wrong with a document before any of it runs."""


class BadRequestError(Exception):
    """A request that is refused before any of it runs.

    Attributes:
        errors: Why.
        code: What all of them have for a code.
        syntax: Whether the document could not even be read.
    """

    def __init__(
        self, errors: list[GraphQLError], code: str = BAD_QUERY, *, syntax: bool = False
    ) -> None:
        super().__init__(errors[0].message)
        self.errors = errors
        self.code = code
        self.syntax = syntax


class NotAQueryError(Exception):
    """Only queries are answered this way."""


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
    from graphql import GraphQLError

    return BadRequestError([GraphQLError(message)], MALFORMED)


def of_operation(error: OperationError) -> dict[str, Any]:
    """A typed error that belongs to no field."""
    return {
        "message": error.detail or error.title,
        "extensions": {"code": error.code, **error.fields()},
    }
