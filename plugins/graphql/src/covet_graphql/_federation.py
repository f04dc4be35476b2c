"""A subgraph of a federation (Apollo Federation 2): what a gateway asks, besides what clients do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
    print_schema,
)

from covet_graphql._binding import ENTITY, QUERY, GraphqlBinding
from covet_graphql._call import FieldCall
from covet_graphql._fields import run_field
from covet_graphql._marks import KEYS
from covet_graphql._models import name_of
from covet_graphql._names import camel
from covet_graphql._resolvers import Read
from covet_graphql._run import Run
from covet_graphql._types import CODE, Types
from covet_kernel import ConfigurationError
from covet_operations import Endpoint

_LINK: Final = (
    'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])'
)
_MOST: Final = 1000
"""Entities that one field may ask for."""


class Federation:
    """What a subgraph has besides its own types.

    Args:
        types: The types; what is found here is added to their resolvers.
        endpoints: The operations, those that find entities among them.

    Raises:
        ConfigurationError: An operation finds what has no key, or two find the same.
    """

    def __init__(self, types: Types, endpoints: Sequence[Endpoint[GraphqlBinding]]) -> None:
        self._types = types
        self._found: dict[str, Endpoint[GraphqlBinding]] = {}
        self._sdl = ""
        for each in endpoints:
            model = each.binding.entity
            if each.binding.of != ENTITY or model is None:
                continue
            name = name_of(model)
            if not keys_of(model) or name in self._found:
                raise ConfigurationError(
                    CODE,
                    f"{each.operation.name} finds {name}, which has no key or is found already.",
                    place=each.operation.name,
                    fix='Decorate the model with @graphql.key("id"), and one operation with'
                    " @graphql.entity.",
                )
            types.output(model, name)
            self._found[name] = each

    def describe(self, schema: GraphQLSchema) -> None:
        """Say what the subgraph tells of itself: the schema as it is without this."""
        text = print_schema(schema)
        for name, model in self._types.classes.items():
            said = "".join(f' @key(fields: "{each}")' for each in keys_of(model))
            if said:
                text = re.sub(
                    rf"^(type {name}\b[^{{]*?) ?\{{", rf"\1{said} {{", text, flags=re.MULTILINE
                )
        self._sdl = f"{_LINK}\n\n{text}\n"

    def fields(self) -> dict[str, GraphQLField]:
        """The fields of ``Query`` that a gateway asks."""
        resolvers = self._types.resolvers
        sdl = {"sdl": self._sdl}
        service = GraphQLObjectType(
            "_Service", {"sdl": GraphQLField(GraphQLNonNull(GraphQLString))}
        )
        resolvers["_Service", "sdl"] = Read("sdl", is_key=True)
        resolvers[QUERY, "_service"] = lambda source, arguments, run: sdl
        made = {"_service": GraphQLField(GraphQLNonNull(service))}
        if self._found:
            kinds = [self._types.output(each.binding.entity, name).of_type for name, each in self._found.items()]  # fmt: skip
            wanted = GraphQLList(GraphQLNonNull(GraphQLScalarType("_Any")))
            made["_entities"] = GraphQLField(
                GraphQLNonNull(GraphQLList(GraphQLUnionType("_Entity", kinds))),
                args={"representations": GraphQLArgument(GraphQLNonNull(wanted))},
            )
            resolvers[QUERY, "_entities"] = self._entities
        return made

    def _entities(self, source: Any, arguments: Mapping[str, Any], run: Run) -> Any:
        wanted = arguments["representations"]
        if len(wanted) > _MOST:
            raise GraphQLError(f"{len(wanted)} entities are asked for, and {_MOST} are allowed.")
        calls = [self._call(each, run) for each in wanted]
        return [run_field(*each, run) for each in calls]

    def _call(self, wanted: Any, run: Run) -> tuple[Endpoint[GraphqlBinding], FieldCall]:
        name = wanted.get("__typename") if isinstance(wanted, dict) else None
        endpoint = self._found.get(name) if isinstance(name, str) else None
        if endpoint is None:
            raise GraphQLError("A representation names no entity of this subgraph.")
        arguments = {
            each.name: wanted[camel(each.name)]
            for each in endpoint.signature.inputs
            if camel(each.name) in wanted
        }
        return endpoint, FieldCall(endpoint.operation, endpoint.binding, run, arguments)


def keys_of(model: type) -> tuple[str, ...]:
    """The keys that a model was given itself."""
    said = vars(model).get(KEYS)
    found: tuple[str, ...] = said[1] if said and said[0] == model.__qualname__ else ()
    return found
