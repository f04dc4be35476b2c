"""The schema of one serving phase, made of its operations and their models."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from graphql import (
    GraphQLDeferDirective,
    GraphQLError,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLStreamDirective,
    print_schema,
    validate_schema,
)

from covet_graphql._binding import ENTITY, LOADER, MUTATION, QUERY, SUBSCRIPTION, GraphqlBinding
from covet_graphql._call import FieldCall
from covet_graphql._federation import Federation
from covet_graphql._fields import OperationField, run_field
from covet_graphql._loading import Batch
from covet_graphql._resolvers import Resolver
from covet_graphql._types import CODE, Given, Types
from covet_kernel import ConfigurationError
from covet_kernel.contracts import Operation
from covet_operations import Endpoint, Input

if TYPE_CHECKING:
    from covet_graphql._run import Run

_INCREMENTAL: Final = (GraphQLDeferDirective, GraphQLStreamDirective)
ROOTS: Final = (QUERY, MUTATION, SUBSCRIPTION)


class Served:
    """A schema, and what resolves its fields.

    Attributes:
        schema: The schema.
        resolvers: By the names of type and field.
        costs: Of fields that do not cost 1, by the same.
        subscriptions: The operations of the fields of ``Subscription``.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        resolvers: Mapping[tuple[str, str], Resolver],
        costs: Mapping[tuple[str, str], int],
        classes: Mapping[str, type],
        endpoints: Sequence[Endpoint[GraphqlBinding]],
    ) -> None:
        self.schema = schema
        self.resolvers = resolvers
        self.costs = costs
        self.subscriptions = {
            each.binding.field: each for each in endpoints if each.binding.of == SUBSCRIPTION
        }
        self._loaders = {
            each.operation.handler: each for each in endpoints if each.binding.of == LOADER
        }
        self._kinds: dict[type, GraphQLObjectType | None] = {}
        for name, each in classes.items():
            kind = schema.type_map.get(name)
            if isinstance(kind, GraphQLObjectType):
                self._kinds[each] = kind

    def allow_parts(self) -> None:
        """Have the schema know ``@defer`` and ``@stream``."""
        known = {each.name for each in self.schema.directives}
        self.schema.directives = (
            *self.schema.directives,
            *(each for each in _INCREMENTAL if each.name not in known),
        )

    def type_of(self, value: Any) -> GraphQLObjectType | None:
        """The object type of a value, ``None`` if it has none."""
        cls = type(value)
        try:
            return self._kinds[cls]
        except KeyError:
            pass
        if isinstance(value, Mapping):
            kind = self.schema.type_map.get(str(value.get("__typename")))
            return kind if isinstance(kind, GraphQLObjectType) else None
        found = next((self._kinds[each] for each in cls.__mro__ if each in self._kinds), None)
        if found is None:
            named = self.schema.type_map.get(cls.__name__)
            found = named if isinstance(named, GraphQLObjectType) else None
        self._kinds[cls] = found
        return found

    def batch(self, loader: Callable[..., Any], run: Run) -> Batch:
        """What loads keys for one request."""
        endpoint = self._loaders.get(loader)
        if endpoint is None:
            return loader

        async def load(keys: Sequence[Any]) -> Sequence[Any]:
            (given,) = endpoint.signature.inputs
            call = FieldCall(endpoint.operation, endpoint.binding, run, {given.name: keys})
            found: Sequence[Any] = await run_field(endpoint, call, run)
            return found

        return load

    @property
    def sdl(self) -> str:
        """The schema as text."""
        return print_schema(self.schema)


def build(endpoints: Sequence[Endpoint[GraphqlBinding]], *, federated: bool = False) -> Served:
    """The schema that operations and their models make.

    Args:
        endpoints: The operations.
        federated: Whether it is a subgraph of a federation.

    Raises:
        ConfigurationError: A type of theirs is nothing a schema can say, or two fields have one name.
    """
    types = Types()
    roots: dict[str, dict[str, GraphQLField]] = {name: {} for name in ROOTS}
    try:
        for each in endpoints:
            _add(types, roots, each)
        if not roots[QUERY]:
            raise ConfigurationError(
                CODE,
                "there is no query, and a schema needs one.",
                fix="Decorate an operation that reads with @graphql.query().",
            )
        federation = Federation(types, endpoints) if federated else None
        if federation is not None:
            # What it is without them is what it tells of itself.
            federation.describe(_schema_of(types, roots))
            roots[QUERY] |= federation.fields()
        schema = _schema_of(types, roots)
    except (TypeError, GraphQLError) as error:
        raise _cause(error) from error
    _check(schema)
    return Served(schema, types.resolvers, types.costs, types.classes, endpoints)


def _schema_of(types: Types, roots: Mapping[str, dict[str, GraphQLField]]) -> GraphQLSchema:
    made = {
        name: GraphQLObjectType(name, fields) if fields else None for name, fields in roots.items()
    }
    more = types.complete()
    return GraphQLSchema(made[QUERY], made[MUTATION], made[SUBSCRIPTION], types=more)


def _check(schema: GraphQLSchema) -> None:
    wrong = validate_schema(schema)
    if wrong:
        raise ConfigurationError(
            CODE, "; ".join(each.message for each in wrong), fix="Change the models or names."
        )


def _add(
    types: Types, roots: dict[str, dict[str, GraphQLField]], endpoint: Endpoint[GraphqlBinding]
) -> None:
    binding = endpoint.binding
    if binding.of in (LOADER, ENTITY):
        return
    if isinstance(binding.of, type):
        owner = binding.of
        types.more.setdefault(owner, []).append(
            lambda name: (binding.field, _made(types, endpoint, name))
        )
        return
    fields = roots.get(binding.of)
    if fields is None:
        raise ConfigurationError(
            CODE,
            f"{binding.address} is a field of {binding.of!r}, which is no type of this schema.",
            place=endpoint.operation.name,
            valid=[*ROOTS],
            fix="Name the class itself: @graphql.resolver(Book).",
        )
    fields[binding.field] = _made(types, endpoint, binding.of)


def _made(types: Types, endpoint: Endpoint[GraphqlBinding], owner: str) -> GraphQLField:
    binding, operation, signature = endpoint.binding, endpoint.operation, endpoint.signature
    kind = types.output(signature.output_type, binding.address)
    if binding.nullable is not None:
        inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        kind = inner if binding.nullable else GraphQLNonNull(inner)
    key = owner, binding.field
    if binding.of != SUBSCRIPTION:
        types.resolvers[key] = OperationField(endpoint)
    if binding.complexity != 1:
        types.costs[key] = binding.complexity
    return GraphQLField(
        kind,
        args=types.arguments(map(_given, signature.inputs), binding.address),
        description=description_of(operation),
        deprecation_reason="It is deprecated." if operation.deprecated else None,
    )


def _given(each: Input) -> Given:
    return Given(each.name, each.type, each.required, each.default)


def description_of(operation: Operation) -> str | None:
    """What a schema says of a field that is an operation."""
    if operation.summary:
        return operation.summary
    text = inspect.getdoc(operation.handler)
    return " ".join(text.partition("\n\n")[0].split()) if text else None


def _cause(error: BaseException) -> BaseException:
    """What is wrong: graphql-core wraps it where it asks for the fields of a type."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ConfigurationError):
            return found
        found = found.__cause__
    return ConfigurationError(CODE, f"the schema cannot be made: {error}", fix="Change the models.")
