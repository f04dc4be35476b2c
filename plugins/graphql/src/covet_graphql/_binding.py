"""Where an operation is found in a schema: one field of one type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from covet_graphql._call import FieldCall
from covet_graphql._names import is_name
from covet_kernel.contracts import Call, Operation
from covet_operations import Kind, Signature, TransportBinding

PROTOCOL: Final = "graphql"
QUERY: Final = "Query"
MUTATION: Final = "Mutation"
SUBSCRIPTION: Final = "Subscription"
LOADER: Final = "loader"
"""In place of a type: an operation that loads many values at once, and is no field."""
ENTITY: Final = "entity"
"""In place of a type: an operation that finds a model by its key, for a gateway."""


class GraphqlBinding(TransportBinding):
    """One field.

    Attributes:
        of: The type it is a field of: ``"Query"``, ``"Mutation"``, ``"Subscription"``, or the model
            whose instances have it.
        field: Its name in the schema.
        nullable: Whether it may be null; ``None``: as the annotation says.
        complexity: What it costs, without what is selected below it.
        entity: The model that an `ENTITY` finds.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"unary", "server_stream"})
    call_type: ClassVar[type[Call]] = FieldCall

    of: str | type
    field: str
    nullable: bool | None = None
    complexity: int = 1
    entity: type | None = None

    def check(self, operation: Operation) -> Iterable[str]:
        if not is_name(self.field):
            yield f"{self.field!r} is no name that a schema may use"
        if self.of in (QUERY, SUBSCRIPTION) and operation.effect != "read":
            yield (
                f"{self.address} is a {str(self.of).lower()}, which clients repeat at will, but"
                f" {operation.name} is declared {operation.effect!r}; make it a mutation, or declare"
                " effect='read'"
            )
        if self.complexity < 0:
            yield f"{self.address} costs {self.complexity}"

    def check_signature(self, signature: Signature) -> tuple[str, ...]:
        if self.of == LOADER and len(signature.inputs) != 1:
            return ("a loader takes its keys, and nothing else of the caller",)
        streams = signature.kind == "server_stream"
        if streams and self.of != SUBSCRIPTION:
            return (f"{self.address} is a stream of items, which only a subscription sends",)
        if not streams and self.of == SUBSCRIPTION:
            return (f"{self.address} is a subscription, and its handler returns one value",)
        return ()
