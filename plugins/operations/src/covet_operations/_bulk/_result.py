"""What became of many items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from covet_operations._errors import OperationError

T = TypeVar("T")

_ERROR = {
    "type": "object",
    "title": "Error",
    "properties": {
        "code": {"type": "string"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
    },
    "required": ["code", "title"],
    "additionalProperties": True,
}


def _plain(error: OperationError | Mapping[str, Any] | None) -> Any:
    return error.describe() if isinstance(error, OperationError) else error


class Outcome(BaseModel, Generic[T]):
    """What became of one item.

    Attributes:
        index: Its place among the items, from 0.
        value: The result, if it has succeeded.
        error: Why it has failed, as each transport shows errors.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, defer_build=True)

    index: int
    value: T | None = None
    error: Annotated[
        Any, PlainSerializer(_plain), WithJsonSchema({"anyOf": [_ERROR, {"type": "null"}]})
    ] = None


class BulkResult(BaseModel, Generic[T]):
    """What became of all items.

    Attributes:
        succeeded: How many have.
        failed: How many have not.
        outcomes: One for each item, or for those that have failed, in the order of the items.
    """

    model_config = ConfigDict(defer_build=True)

    succeeded: int = Field(description="How many items have succeeded.")
    failed: int = Field(description="How many items have failed.")
    outcomes: list[Outcome[T]] = Field(description="What became of the items, in their order.")

    def shown(self, show: Callable[[OperationError], Mapping[str, Any]]) -> BulkResult[T]:
        """The same with each error as a transport shows it."""
        outcomes = [
            each.model_copy(update={"error": show(each.error)})
            if isinstance(each.error, OperationError)
            else each
            for each in self.outcomes
        ]
        return self.model_copy(update={"outcomes": outcomes})
