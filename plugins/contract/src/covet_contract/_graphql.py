"""What changes between two GraphQL schemas, as graphql-core finds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
)
from graphql.utilities import find_schema_changes

from covet_contract._codes import found
from covet_operations import Finding

_CODES: Final = {
    "TYPE_REMOVED": "graphql-type-removed",
    "TYPE_ADDED": "graphql-type-added",
    "TYPE_CHANGED_KIND": "graphql-type-kind-changed",
    "TYPE_REMOVED_FROM_UNION": "graphql-union-member-removed",
    "TYPE_ADDED_TO_UNION": "graphql-union-member-added",
    "VALUE_REMOVED_FROM_ENUM": "graphql-value-removed",
    "VALUE_ADDED_TO_ENUM": "graphql-value-added",
    "REQUIRED_INPUT_FIELD_ADDED": "graphql-input-field-required",
    "OPTIONAL_INPUT_FIELD_ADDED": "graphql-input-field-added",
    "IMPLEMENTED_INTERFACE_REMOVED": "graphql-interface-removed",
    "IMPLEMENTED_INTERFACE_ADDED": "graphql-interface-added",
    "FIELD_REMOVED": "graphql-field-removed",
    "FIELD_ADDED": "graphql-field-added",
    "FIELD_CHANGED_KIND": "graphql-field-type-changed",
    "FIELD_CHANGED_KIND_SAFE": "graphql-field-type-compatible",
    "REQUIRED_ARG_ADDED": "graphql-argument-required",
    "OPTIONAL_ARG_ADDED": "graphql-argument-added",
    "ARG_REMOVED": "graphql-argument-removed",
    "ARG_CHANGED_KIND": "graphql-argument-type-changed",
    "ARG_CHANGED_KIND_SAFE": "graphql-argument-type-compatible",
    "ARG_DEFAULT_VALUE_CHANGE": "graphql-default-changed",
    "ARG_DEFAULT_VALUE_ADDED": "graphql-default-added",
    "INPUT_FIELD_DEFAULT_VALUE_CHANGE": "graphql-default-changed",
    "INPUT_FIELD_DEFAULT_VALUE_ADDED": "graphql-default-added",
    "DIRECTIVE_REMOVED": "graphql-directive-removed",
    "DIRECTIVE_ADDED": "graphql-directive-added",
    "DIRECTIVE_ARG_REMOVED": "graphql-argument-removed",
    "REQUIRED_DIRECTIVE_ARG_ADDED": "graphql-argument-required",
    "OPTIONAL_DIRECTIVE_ARG_ADDED": "graphql-argument-added",
    "DIRECTIVE_REPEATABLE_REMOVED": "graphql-directive-narrowed",
    "DIRECTIVE_REPEATABLE_ADDED": "graphql-directive-widened",
    "DIRECTIVE_LOCATION_REMOVED": "graphql-directive-narrowed",
    "DIRECTIVE_LOCATION_ADDED": "graphql-directive-widened",
}
"""By graphql-core's name. What is said for people, ``DESCRIPTION_CHANGED``, is no part of a contract."""

_MEMBER: Final = re.compile(r"@?\w+(?:\.\w+)?\(\w+:\)|\w+\.\w+|@\w+")
_BEHIND: Final = re.compile(r"(?:union type|implemented by) (\w+)")


def compare(old: str, new: str) -> Iterator[Finding]:
    """The changes from one SDL to another.

    A standard scalar that no field uses any more is no change, and a new value of an enumeration that
    only callers send surprises nobody: there graphql-core is stricter.

    Raises:
        ValueError: One of them is no schema.
    """
    before, after = _schema(old), _schema(new)
    answers = _given(after)
    for change in find_schema_changes(before, after):
        code = _CODES.get(change.type.name)
        if code is None or change.description.startswith("Standard scalar "):
            continue
        place = _place(change.description)
        if code == "graphql-value-added" and place.partition(".")[0] not in answers:
            code = "graphql-input-value-added"
        problem = change.description.removesuffix(".")
        yield found(code, place, place, f"{problem[:1].lower()}{problem[1:]}")
    yield from _deprecated(before, after)


def _schema(text: str) -> GraphQLSchema:
    try:
        return build_schema(text, assume_valid_sdl=False)
    except (GraphQLError, TypeError, RecursionError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from None


def _place(description: str) -> str:
    """``Type.field(argument:)``, or as much of it as the change is about."""
    if member := _MEMBER.search(description):
        return member[0]
    if named := _BEHIND.search(description):
        return named[1]
    return description.partition(" ")[0]


def _given(schema: GraphQLSchema) -> set[str]:
    """The enumerations that may be in an answer."""
    return {
        named.name
        for each in schema.type_map.values()
        if isinstance(each, GraphQLObjectType | GraphQLInterfaceType)
        for field in each.fields.values()
        if isinstance(named := get_named_type(field.type), GraphQLEnumType)
    }


def _deprecated(old: GraphQLSchema, new: GraphQLSchema) -> Iterator[Finding]:
    for name, kind in new.type_map.items():
        before = _members(old.type_map.get(name))
        for member, reason in _members(kind).items():
            if reason is not None and member in before and before[member] is None:
                place = f"{name}.{member}"
                yield found("graphql-deprecated", place, place, f"it is deprecated now: {reason}")


def _members(kind: GraphQLNamedType | None) -> dict[str, str | None]:
    """Why each member of a type is deprecated, ``None`` if it is not."""
    members: dict[str, Any] = {}
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
        members = dict(kind.fields)
    elif isinstance(kind, GraphQLEnumType):
        members = dict(kind.values)
    return {name: each.deprecation_reason for name, each in members.items()}
