"""A schema that was written first, and operations bound to its fields by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin
from typing import Union as AnyOf

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    is_specified_scalar_type,
)

from covet_graphql._binding import LOADER, SUBSCRIPTION, GraphqlBinding
from covet_graphql._fields import OperationField
from covet_graphql._marks import Scalar
from covet_graphql._models import (
    attributes,
    computed,
    implementations,
    is_interface,
    is_mapping,
    is_model,
    methods,
    name_of,
    plain,
    without_none,
)
from covet_graphql._names import camel
from covet_graphql._resolvers import Read, Resolver
from covet_graphql._scalars import names_of_members, plain_json, scalar
from covet_graphql._schema import ROOTS, Served
from covet_graphql._types import CODE, Types
from covet_kernel import ConfigurationError
from covet_operations import Endpoint


def build_first(path: Path, endpoints: Sequence[Endpoint[GraphqlBinding]]) -> Served:
    """The schema of a file, whose fields are operations, and fields of the models they return.

    Raises:
        ConfigurationError: It is no schema, or something in it is nobody's, or belongs to nothing in it.
    """
    try:
        schema = build_schema(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError, GraphQLError) as error:
        raise _wrong(path, [f"it is no schema: {error}"]) from error
    binder = _Binder(schema)
    for each in endpoints:
        binder.bind(each)
    binder.complete()
    if binder.wrong:
        raise _wrong(path, binder.wrong)
    return Served(schema, binder.resolvers, binder.costs, binder.classes, endpoints)


class _Binder:
    """Goes through operations and the schema side by side."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self.resolvers: dict[tuple[str, str], Resolver] = {}
        self.costs: dict[tuple[str, str], int] = {}
        self.classes: dict[str, type] = {}
        self.wrong: list[str] = []
        self._subscribed: set[str] = set()

    def bind(self, endpoint: Endpoint[GraphqlBinding]) -> None:
        """Bind one operation to its field."""
        binding, signature = endpoint.binding, endpoint.signature
        if binding.of == LOADER:
            return
        owner = binding.of if isinstance(binding.of, str) else name_of(binding.of)
        kind = self._schema.type_map.get(owner)
        field = kind.fields.get(binding.field) if isinstance(kind, GraphQLObjectType) else None
        if field is None:
            self.wrong.append(
                f"{endpoint.operation.name} is {owner}.{binding.field}, which is not there"
            )
            return
        if owner == SUBSCRIPTION:
            self._subscribed.add(binding.field)
        else:
            self.resolvers[owner, binding.field] = OperationField(endpoint)
        if binding.complexity != 1:
            self.costs[owner, binding.field] = binding.complexity
        place = f"{owner}.{binding.field}"
        inputs = {each.name: each for each in signature.inputs}
        self._arguments(place, field, {each.name: each.type for each in inputs.values()})
        given = {each.out_name for each in field.args.values()}
        self.wrong += [
            f"{endpoint.operation.name} needs {name!r}, which {place} does not take"
            for name, each in inputs.items()
            if each.required and name not in given
        ]
        self._output(signature.output_type, field.type)

    def complete(self) -> None:
        """Look for fields that nobody has."""
        for kind in self._schema.type_map.values():
            if not isinstance(kind, GraphQLObjectType) or kind.name.startswith("__"):
                continue
            known = kind.name in ROOTS or kind.name in self.classes
            for name in kind.fields:
                there = (kind.name, name) in self.resolvers or (
                    kind.name == SUBSCRIPTION and name in self._subscribed
                )
                if known and not there:
                    self.wrong.append(f"nobody has {kind.name}.{name}")

    def _arguments(self, place: str, field: GraphQLField, types: dict[str, Any]) -> None:
        names = {camel(name): name for name in types} | {name: name for name in types}
        for name, argument in field.args.items():
            if name not in names:
                self.wrong.append(f"{place} takes {name!r}, which its handler does not")
                continue
            argument.out_name = names[name]
            self._input(types[names[name]], argument.type)

    def _output(self, annotation: Any, kind: Any) -> None:
        base, kind = _bare(annotation, kind)
        if isinstance(kind, GraphQLEnumType):
            if isinstance(base, type) and issubclass(base, Enum):
                self._enum(base, kind)
        elif isinstance(kind, GraphQLScalarType):
            self._scalar(annotation, kind)
        else:
            for each in _models(base):
                found = self._schema.type_map.get(name_of(each))
                if isinstance(found, GraphQLObjectType):
                    self._model(each, found)

    def _input(self, annotation: Any, kind: Any) -> None:
        base, kind = _bare(annotation, kind)
        if isinstance(kind, GraphQLEnumType):
            if isinstance(base, type) and issubclass(base, Enum):
                self._enum(base, kind)
        elif isinstance(kind, GraphQLScalarType):
            self._scalar(annotation, kind)
        elif isinstance(kind, GraphQLInputObjectType) and is_model(base):
            found = {}
            for each in attributes(base):
                found[camel(each.name)] = found[each.name] = each
            for name, member in kind.fields.items():
                if name not in found:
                    self.wrong.append(f"{kind.name} has {name!r}, which {base.__name__} has not")
                elif member.out_name is None or member.out_name == name:
                    member.out_name = found[name].input_name
                    self._input(found[name].type, member.type)

    def _enum(self, base: type[Enum], kind: GraphQLEnumType) -> None:
        members = {each.name: each for each in base}
        for name, value in kind.values.items():
            if name not in members:
                self.wrong.append(f"{kind.name} has {name}, which {base.__name__} has not")
            else:
                value.value = plain_json(members[name].value)
        kind.extensions["covet"] = names_of_members(base)

    @staticmethod
    def _scalar(annotation: Any, kind: GraphQLScalarType) -> None:
        if is_specified_scalar_type(kind) or "covet" in kind.extensions:
            return
        made = scalar(Scalar(name=kind.name), without_none(annotation)[0])
        kind.coerce_output_value = made.coerce_output_value
        kind.coerce_input_value = made.coerce_input_value
        kind.extensions["covet"] = True

    def _model(self, base: type, kind: GraphQLObjectType) -> None:
        if kind.name in self.classes:
            return
        self.classes[kind.name] = base
        found: dict[str, Any] = {}
        for each in (*attributes(base), *computed(base)):
            found[camel(each.name)] = found[each.name] = each
        for name, field in kind.fields.items():
            if (kind.name, name) in self.resolvers or name not in found:
                continue
            self.resolvers[kind.name, name] = Read(found[name].name, is_mapping(base))
            self._output(found[name].type, field.type)
        types = Types()
        for said, function in methods(base):
            if said.name in kind.fields:
                resolver, given, returned = types.method(said, function)
                self.resolvers[kind.name, said.name] = resolver
                field = kind.fields[said.name]
                self._arguments(f"{kind.name}.{said.name}", field, {x.name: x.type for x in given})
                self._output(returned, field.type)


def _bare(annotation: Any, kind: Any) -> tuple[Any, Any]:
    """What is inside of both, where lists and nulls are taken away from either."""
    base, _ = plain(without_none(annotation)[0])
    while isinstance(kind, GraphQLNonNull | GraphQLList):
        if isinstance(kind, GraphQLList) and get_args(base):
            base, _ = plain(without_none(get_args(base)[0])[0])
        kind = kind.of_type
    return base, kind


def _models(base: Any) -> Iterable[type]:
    if get_origin(base) in (AnyOf, UnionType):
        return [each for member in get_args(base) for each in _models(plain(member)[0])]
    base = get_origin(base) or base
    if not is_model(base):
        return []
    return list(implementations(base)) if is_interface(base) else [base]


def _wrong(path: Path, problems: list[str]) -> ConfigurationError:
    return ConfigurationError(
        CODE,
        f"{path.name} and the operations do not fit: {'; '.join(problems)}.",
        place="plugins.graphql.schema_file",
        fix="Change either; names are compared as priceCents.",
    )
