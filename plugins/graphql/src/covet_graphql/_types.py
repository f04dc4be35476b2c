"""Annotations as types of a schema."""

from __future__ import annotations

import inspect
import typing
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin
from typing import Union as AnyOf

from graphql import (
    GraphQLArgument,
    GraphQLDefaultInput,
    GraphQLEnumType,
    GraphQLEnumValue,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
)
from pydantic import TypeAdapter

from covet_graphql._loading import Load, Loading
from covet_graphql._marks import Method, Scalar, Union
from covet_graphql._models import (
    MISSING,
    attributes,
    computed,
    describe,
    implementations,
    is_interface,
    is_mapping,
    is_model,
    methods,
    name_of,
    plain,
    without_none,
)
from covet_graphql._names import camel, is_name
from covet_graphql._resolvers import MethodField, Read, Resolver
from covet_graphql._scalars import BUILT_IN, JSON, KNOWN, VOID, names_of_members, plain_json, scalar
from covet_kernel import ConfigurationError

_LISTS: Final = (list, tuple, set, frozenset, Sequence, Collection, Iterable)
CODE: Final = "COVET-GRAPHQL-TYPE"


class Given(NamedTuple):
    """One thing a client gives: an argument.

    Attributes:
        name: The parameter's.
        type: Its annotation.
        required: Whether it has to be given.
        default: Its default unless required.
    """

    name: str
    type: Any
    required: bool
    default: Any


class Types:
    """Every type of one schema, made when something first mentions it.

    Attributes:
        resolvers: How each field of an object type is resolved, by the names of both.
        classes: The models by the name of their object types.
        costs: What fields cost that say so, by the names of type and field.
    """

    def __init__(self) -> None:
        self.resolvers: dict[tuple[str, str], Resolver] = {}
        self.classes: dict[str, type] = {}
        self.costs: dict[tuple[str, str], int] = {}
        self.more: dict[type, list[Callable[[str], tuple[str, GraphQLField]]]] = {}
        self._names: dict[str, Any] = {}
        self._objects: dict[type, GraphQLObjectType | GraphQLInterfaceType] = {}
        self._inputs: dict[type, GraphQLInputObjectType] = {}
        self._leaves: dict[Any, GraphQLNamedType] = {}
        self._unions: dict[str, GraphQLUnionType] = {}
        self._pending: list[type] = []

    def output(self, annotation: Any, place: str) -> Any:
        """The type of a result.

        Raises:
            ConfigurationError: It is nothing a schema could say.
        """
        inner, nullable = without_none(annotation)
        found = self._output(inner, place)
        return found if nullable or inner is NoneType else GraphQLNonNull(found)

    def input(self, annotation: Any, place: str) -> Any:
        """The type of an argument. Raises as `output` does."""
        inner, nullable = without_none(annotation)
        found = self._input(inner, place)
        return found if nullable else GraphQLNonNull(found)

    def arguments(self, given: Iterable[Given], place: str) -> dict[str, GraphQLArgument]:
        """The arguments of a field."""
        made = {}
        for each in given:
            kind, default = self._with_default(
                each.type, each.required, each.default, f"{place}({each.name}:)"
            )
            made[camel(each.name)] = GraphQLArgument(kind, default=default, out_name=each.name)
        return made

    def complete(self) -> list[GraphQLNamedType]:
        """Have everything made that anything mentions, and the types that implement interfaces.

        Returns:
            The latter, which nothing else may mention.
        """
        found: dict[type, GraphQLNamedType] = {}
        looked: set[str] = set()
        while True:
            kinds = [*self._objects.values(), *self._inputs.values()]
            new = [each for each in kinds if each.name not in looked]
            if not new and not self._pending:
                self._check_more()
                return list(found.values())
            for each in new:
                looked.add(each.name)
                _ = each.fields
            while self._pending:
                for base in implementations(self._pending.pop()):
                    found[base] = self._object(base)

    def _check_more(self) -> None:
        mentioned = {each for base in self._objects for each in base.__mro__}
        for base in self.more.keys() - mentioned:
            raise ConfigurationError(
                CODE,
                f"{_shown(base)} has fields that are operations, and nothing in the schema is one.",
                fix="Return it from a query, or take the resolvers away.",
            )

    def _output(self, annotation: Any, place: str) -> Any:
        base, metadata = plain(annotation)
        leaf = self._leaf(annotation, base, metadata, place)
        if leaf is not None:
            return leaf
        origin = get_origin(base)
        if origin in _LISTS:
            return GraphQLList(self.output(_item(base, place), f"{place}[]"))
        if origin in (AnyOf, UnionType):
            return self._union(get_args(base), metadata, place)
        if origin is not None and is_model(origin):
            return self._object(origin)
        if is_model(base):
            return self._object(base)
        raise _unknown(base, place)

    def _input(self, annotation: Any, place: str) -> Any:
        base, metadata = plain(annotation)
        leaf = self._leaf(annotation, base, metadata, place)
        if leaf is not None:
            return leaf
        if get_origin(base) in _LISTS:
            return GraphQLList(self.input(_item(base, place), f"{place}[]"))
        if get_origin(base) is not None and is_model(get_origin(base)):
            base = get_origin(base)
        if is_model(base):
            return self._input_object(base)
        raise _unknown(base, place)

    def _leaf(
        self, annotation: Any, base: Any, metadata: tuple[Any, ...], place: str
    ) -> GraphQLNamedType | None:
        said = next((each for each in metadata if isinstance(each, Scalar)), None)
        if said is not None:
            return self._scalar(said, annotation)
        if base in BUILT_IN:
            return BUILT_IN[base]
        if hasattr(base, "__supertype__"):
            return self._leaf(annotation, *_named_type(base, metadata), place)
        if base is NoneType or base is None:
            return self._scalar(VOID, NoneType)
        if base is Any or base is object or base is dict or get_origin(base) in (dict, Mapping):
            return self._scalar(JSON, Any)
        if isinstance(base, type) and base in KNOWN:
            return self._scalar(KNOWN[base], base)
        if isinstance(base, type) and issubclass(base, Enum):
            return self._enum(base)
        if get_origin(base) is Literal:
            return self._literal(get_args(base), base, place)
        if get_origin(base) in (AnyOf, UnionType):
            members = set(get_args(base))
            return BUILT_IN[float] if members == {int, float} else None
        if is_model(base) or is_model(get_origin(base)) or get_origin(base) in _LISTS:
            return None
        return self._by_json(annotation, base, place)

    def _scalar(self, said: Scalar, annotation: Any) -> GraphQLNamedType:
        found = self._leaves.get(said.name)
        if found is None:
            found = self._leaves[said.name] = scalar(said, annotation)
            self._take(said.name, said, said.name)
        return found

    def _enum(self, kind: type[Enum]) -> GraphQLNamedType:
        found = self._leaves.get(kind)
        if found is None:
            name = name_of(kind)
            self._take(name, kind, name)
            values = {each.name: GraphQLEnumValue(plain_json(each.value)) for each in kind}
            found = GraphQLEnumType(name, values, description=describe(kind))
            found.extensions["covet"] = names_of_members(kind)
            self._leaves[kind] = found
        return found

    def _literal(self, values: tuple[Any, ...], base: Any, place: str) -> GraphQLNamedType:
        kinds = {type(each) for each in values}
        if len(kinds) == 1 and (kind := kinds.pop()) in BUILT_IN:
            return BUILT_IN[kind]
        raise _unknown(base, place)

    def _by_json(self, annotation: Any, base: Any, place: str) -> GraphQLNamedType | None:
        """A type of pydantic's or of a library's, by what it is in JSON."""
        try:
            schema = TypeAdapter(annotation).json_schema(mode="serialization")
        except Exception as error:
            raise _unknown(base, place) from error
        kinds = {"string": str, "integer": int, "number": float, "boolean": bool}
        kind = kinds.get(schema.get("type", ""))
        if kind is None:
            raise _unknown(base, place)
        name = getattr(base, "__name__", "")
        if kind is str and is_name(name):
            return self._scalar(Scalar(name=name), annotation)
        return BUILT_IN[kind]

    def _union(self, members: tuple[Any, ...], metadata: tuple[Any, ...], place: str) -> Any:
        bases = [plain(each)[0] for each in members]
        wrong = [each for each in bases if not is_model(get_origin(each) or each)]
        if wrong:
            raise _unknown(wrong[0], f"{place} (a member of a union has to be a model)")
        said = next((each for each in metadata if isinstance(each, Union)), None)
        types = [self._object(each) for each in bases]
        name = said.name if said is not None else "Or".join(each.name for each in types)
        found = self._unions.get(name)
        if found is None:
            self._take(name, tuple(bases), place)
            found = GraphQLUnionType(
                name, types, description=said.description or None if said is not None else None
            )
            self._unions[name] = found
        else:
            self._take(name, tuple(bases), place)
        return found

    def _object(self, base: type) -> Any:
        found = self._objects.get(base)
        if found is not None:
            return found
        name = name_of(base)
        self._take(name, base, name)
        make = GraphQLInterfaceType if is_interface(base) else GraphQLObjectType
        found = make(
            name,
            lambda: self._fields(base, name),
            interfaces=lambda: [self._object(each) for each in _interfaces(base)],
            description=describe(base),
        )
        self._objects[base] = found
        if is_interface(base):
            self._pending.append(base)
        else:
            self.classes[name] = base
        return found

    def _fields(self, base: type, name: str) -> dict[str, GraphQLField]:
        made: dict[str, GraphQLField] = {}
        for each in (*attributes(base), *computed(base)):
            if each.name.startswith("_"):
                continue
            field = camel(each.name)
            place = f"{name}.{field}"
            self._check_name(field, place)
            made[field] = GraphQLField(
                self.output(each.type, place),
                description=each.description or None,
                deprecation_reason=each.deprecated or None,
            )
            self.resolvers[name, field] = Read(each.name, is_mapping(base))
        for said, function in methods(base):
            place = f"{name}.{said.name}"
            self._check_name(said.name, place)
            made[said.name] = self._method(name, said, function, place)
        for cls in reversed(base.__mro__):
            for make in self.more.get(cls, ()):
                field, built = make(name)
                made[field] = built
        if not made:
            raise ConfigurationError(
                CODE,
                f"{name} has no fields, and a type of a schema needs one.",
                place=name,
                fix="Give the model a field, or return something else.",
            )
        return made

    def _method(
        self, owner: str, said: Method, function: Callable[..., Any], place: str
    ) -> GraphQLField:
        made, given, returned = self.method(said, function)
        self.resolvers[owner, said.name] = made
        if said.complexity != 1:
            self.costs[owner, said.name] = said.complexity
        text = inspect.getdoc(function)
        return GraphQLField(
            self.output(returned, place),
            args=self.arguments(given, place),
            description=" ".join(text.partition("\n\n")[0].split()) if text else None,
        )

    @staticmethod
    def method(said: Method, function: Callable[..., Any]) -> tuple[MethodField, list[Given], Any]:
        """What resolves a method that is a field, what it takes of the client, and what it gives."""
        hints = typing.get_type_hints(function, include_extras=True)
        given: list[Given] = []
        load = ""
        for parameter in list(inspect.signature(function).parameters.values())[1:]:
            annotation = hints.get(parameter.name, Any)
            if annotation is Load:
                load = parameter.name
                continue
            required = parameter.default is inspect.Parameter.empty
            given.append(
                Given(parameter.name, annotation, required, None if required else parameter.default)
            )
        adapters = {each.name: TypeAdapter(each.type) for each in given}
        made = MethodField(function, adapters, load)
        return made, given, _returned(hints.get("return", Any))

    def _input_object(self, base: type) -> GraphQLInputObjectType:
        found = self._inputs.get(base)
        if found is None:
            own = name_of(base)
            name = own if own.endswith("Input") else f"{own}Input"
            self._take(name, ("input", base), name)
            found = self._inputs[base] = GraphQLInputObjectType(
                name, lambda: self._input_fields(base, name), description=describe(base)
            )
        return found

    def _input_fields(self, base: type, name: str) -> dict[str, GraphQLInputField]:
        made = {}
        for each in attributes(base):
            field = camel(each.name)
            place = f"{name}.{field}"
            self._check_name(field, place)
            kind, default = self._with_default(each.type, each.required, each.default, place)
            made[field] = GraphQLInputField(
                kind,
                description=each.description or None,
                default=default,
                out_name=each.input_name,
            )
        return made

    def _with_default(
        self, annotation: Any, required: bool, default: Any, place: str
    ) -> tuple[Any, GraphQLDefaultInput | None]:
        """The type of something given, and its default where a schema can say it."""
        kind = self.input(annotation, place)
        if required:
            return kind, None
        said = _default_of(default, annotation)
        if said is not None:
            return kind, said
        # It may be left out, which only a type that takes null lets a schema say.
        return (kind.of_type if isinstance(kind, GraphQLNonNull) else kind), None

    def _take(self, name: str, what: Any, place: str) -> None:
        self._check_name(name, place)
        known = self._names.setdefault(name, what)
        if known != what:
            raise ConfigurationError(
                CODE,
                f"two types are called {name!r}: {_shown(known)} and {_shown(what)}.",
                place=place,
                fix="Give one another name: @graphql.named(...) on a class, or"
                " graphql.Union(name=...) and graphql.Scalar(name=...) in Annotated.",
            )

    @staticmethod
    def _check_name(name: str, place: str) -> None:
        if not is_name(name):
            raise ConfigurationError(
                CODE,
                f"{name!r} is no name that a schema may use.",
                place=place,
                fix="Names have ASCII letters, digits and underscores, and do not begin with '__'.",
            )


def _interfaces(base: type) -> list[type]:
    return [each for each in base.__mro__[1:] if is_interface(each)]


def _item(base: Any, place: str) -> Any:
    arguments = get_args(base)
    if get_origin(base) is tuple and arguments[1:] != (...,):
        if len(set(arguments)) != 1:
            raise _unknown(base, place)
        return arguments[0]
    if not arguments:
        raise _unknown(base, place)
    return arguments[0]


def _named_type(base: Any, metadata: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    inner, more = plain(base.__supertype__)
    return inner, (*metadata, *more)


def _returned(annotation: Any) -> Any:
    """What a method gives in the end."""
    if get_origin(annotation) in (Loading, Awaitable, AsyncIterator):
        return get_args(annotation)[0]
    return annotation


def _default_of(default: Any, annotation: Any) -> GraphQLDefaultInput | None:
    if default is MISSING:
        return None
    if isinstance(default, Enum):
        return GraphQLDefaultInput(default.name)
    if default is None or isinstance(default, bool | int | float | str):
        base = plain(without_none(annotation)[0])[0]
        if isinstance(base, type) and issubclass(base, Enum):
            name = names_of_members(base).get(default)
            return None if name is None else GraphQLDefaultInput(name)
        return GraphQLDefaultInput(default)
    if isinstance(default, list | tuple) and not default:
        return GraphQLDefaultInput([])
    return None


def _unknown(base: Any, place: str) -> ConfigurationError:
    return ConfigurationError(
        CODE,
        f"{_shown(base)} is nothing that a schema can say.",
        place=place,
        fix="Use a model, an enum, a list, or name a scalar:"
        " Annotated[T, graphql.Scalar(name=...)].",
    )


def _shown(what: Any) -> str:
    if isinstance(what, tuple):
        return " and ".join(_shown(each) for each in what if each != "input")
    return getattr(what, "__qualname__", None) or str(what)
