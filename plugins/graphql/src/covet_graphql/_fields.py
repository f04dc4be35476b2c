"""Fields that are operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from covet_graphql._binding import GraphqlBinding
from covet_graphql._call import FieldCall
from covet_operations import Endpoint

if TYPE_CHECKING:
    from covet_graphql._run import Run


class OperationField:
    """A field that is an operation: everything around an operation is around it.

    Attributes:
        endpoint: The operation at this field.
    """

    __slots__ = ("endpoint",)

    def __init__(self, endpoint: Endpoint[GraphqlBinding]) -> None:
        self.endpoint = endpoint

    def __call__(self, source: Any, arguments: Mapping[str, Any], run: Run) -> Any:
        endpoint = self.endpoint
        call = FieldCall(endpoint.operation, endpoint.binding, run, arguments, source)
        return run_field(endpoint, call, run)


async def run_field(endpoint: Endpoint[GraphqlBinding], call: FieldCall, run: Run) -> Any:
    """Run an operation for a field, within the time of the request it is part of.

    Raises:
        OperationError: It failed.
    """
    call.principal = run.principal
    call.deadline = run.caller.deadline
    try:
        return await endpoint.run(call)
    finally:
        if call.principal is not None:
            # One request has one caller: the next field need not find out again.
            run.principal = call.principal
