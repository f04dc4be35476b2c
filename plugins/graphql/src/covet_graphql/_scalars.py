"""Types that have no fields: how their values come in and go out."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from graphql import (
    GraphQLBoolean,
    GraphQLError,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLScalarType,
    GraphQLString,
)
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from covet_graphql._marks import ID, Scalar

BUILT_IN: Final[Mapping[Any, GraphQLScalarType]] = {
    bool: GraphQLBoolean,
    int: GraphQLInt,
    float: GraphQLFloat,
    str: GraphQLString,
    ID: GraphQLID,
}
KNOWN: Final[Mapping[Any, Scalar]] = {
    dt.datetime: Scalar(
        name="DateTime",
        description="A moment, as RFC 3339 writes it.",
        specified_by="https://www.rfc-editor.org/rfc/rfc3339",
    ),
    dt.date: Scalar(name="Date", description="A day, as RFC 3339 writes it."),
    dt.time: Scalar(name="Time", description="A time of day, as RFC 3339 writes it."),
    dt.timedelta: Scalar(name="Duration", description="A span of time, as ISO 8601 writes it."),
    decimal.Decimal: Scalar(name="Decimal", description="A decimal number, written as text."),
    uuid.UUID: Scalar(
        name="UUID",
        description="A universally unique id.",
        specified_by="https://www.rfc-editor.org/rfc/rfc9562",
    ),
    bytes: Scalar(name="Bytes", description="Bytes, as text."),
}
JSON: Final = Scalar(name="JSON", description="Anything that JSON can hold.")
VOID: Final = Scalar(name="Void", description="Nothing: it is always null.")

_INT: Final = range(-(2**31), 2**31)


def int_out(value: Any) -> Any:
    """What is sent for an ``Int``."""
    if value.__class__ is int and -0x80000000 <= value <= 0x7FFFFFFF:
        return value
    return GraphQLInt.coerce_output_value(value)


def float_out(value: Any) -> Any:
    """What is sent for a ``Float``."""
    if value.__class__ is float and math.isfinite(value):
        return value
    return GraphQLFloat.coerce_output_value(value)


def str_out(value: Any) -> Any:
    """What is sent for a ``String``."""
    return value if value.__class__ is str else GraphQLString.coerce_output_value(value)


OUT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Int": int_out,
    "Float": float_out,
    "String": str_out,
}


def scalar(said: Scalar, annotation: Any) -> GraphQLScalarType:
    """A scalar whose values pydantic writes and reads."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def out(value: Any) -> Any:
        return adapter.dump_python(value, mode="json", warnings="error")

    def come_in(value: Any) -> Any:
        # What is judged here is handed on as it came: the operation reads it, as it would a JSON body.
        try:
            adapter.validate_json(to_json(value))
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise GraphQLError(f"{said.name} cannot represent the value: {reason}") from None
        return value

    return GraphQLScalarType(
        said.name,
        coerce_output_value=out,
        coerce_input_value=come_in,
        description=said.description or None,
        specified_by_url=said.specified_by or None,
    )


def names_of_members(kind: type[Enum]) -> dict[Any, str]:
    """The name of each member of an enum, by the member and by its value."""
    found: dict[Any, str] = {}
    for member in kind:
        found[member] = member.name
        try:
            found.setdefault(member.value, member.name)
        except TypeError:  # a value that cannot be hashed is only known by its member
            continue
    return found


def plain_json(value: Any) -> Any:
    """What JSON holds of a value."""
    return from_json(to_json(value, fallback=str))
