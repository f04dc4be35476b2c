"""Python types that are no messages: which scalar or well-known message each of them is."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any, Final

from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import TypeAdapter

from covet_grpc._schema._shapes import Scalar, Shape, WellKnown

_PLAIN: Final[dict[Any, Scalar]] = {
    bool: Scalar("bool"),
    int: Scalar("int64"),
    float: Scalar("double"),
    str: Scalar("string"),
    bytes: Scalar("bytes"),
    uuid.UUID: Scalar("string", str),
    decimal.Decimal: Scalar("string", str),
    dt.date: Scalar("string", dt.date.isoformat),
    dt.time: Scalar("string", dt.time.isoformat),
}
_TIMESTAMP: Final = "google/protobuf/timestamp.proto"
_DURATION: Final = "google/protobuf/duration.proto"
_STRUCT: Final = "google/protobuf/struct.proto"
EMPTY: Final = empty_pb2.Empty.DESCRIPTOR.full_name
EMPTY_FILE: Final = empty_pb2.DESCRIPTOR.name


def _timestamp_out(value: dt.datetime) -> bytes:
    message = Timestamp()
    # One without a time zone is taken for UTC, which is what the protocol holds.
    message.FromDatetime(value)
    return message.SerializeToString()


def _timestamp_into(message: Timestamp) -> dt.datetime:
    return message.ToDatetime(dt.UTC)


def _duration_out(value: dt.timedelta) -> bytes:
    message = Duration()
    message.FromTimedelta(value)
    return message.SerializeToString()


def _duration_into(message: Duration) -> dt.timedelta:
    return message.ToTimedelta()


_json: Final = TypeAdapter(Any).serializer


def _value_of(value: Any, depth: int = 0) -> struct_pb2.Value:
    if depth > 64:
        raise ValueError("a value is nested more than 64 deep")
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case dict():
            return struct_pb2.Value(struct_value=_struct_of(value, depth + 1))
        case _:
            values = [_value_of(each, depth + 1) for each in value]
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=values))


def _struct_of(value: dict[str, Any], depth: int = 0) -> struct_pb2.Struct:
    fields = {str(name): _value_of(each, depth) for name, each in value.items()}
    return struct_pb2.Struct(fields=fields)


def _any_out(value: Any) -> bytes:
    return _value_of(_json.to_python(value, mode="json")).SerializeToString()


def _mapping_out(value: Any) -> bytes:
    return _struct_of(_json.to_python(value, mode="json")).SerializeToString()


DATETIME: Final = WellKnown(
    "google.protobuf.Timestamp", _TIMESTAMP, _timestamp_out, _timestamp_into
)
TIMEDELTA: Final = WellKnown("google.protobuf.Duration", _DURATION, _duration_out, _duration_into)
ANYTHING: Final = WellKnown("google.protobuf.Value", _STRUCT, _any_out, MessageToDict)
OBJECT: Final = WellKnown("google.protobuf.Struct", _STRUCT, _mapping_out, MessageToDict)


def plain_shape(kind: Any) -> Shape | None:
    """The shape of a type that is neither model, enumeration nor collection; ``None`` if there is none."""
    if kind is dt.datetime:
        return DATETIME
    if kind is dt.timedelta:
        return TIMEDELTA
    if kind is Any or kind is object:
        return ANYTHING
    try:
        found = _PLAIN.get(kind)
    except TypeError:  # cannot be hashed, so it is none of them
        return None
    return found if found is not None else _as_text(kind)


def _as_text(kind: Any) -> Scalar | None:
    """The shape of a type whose JSON is a string: that string, made as for REST."""
    if not isinstance(kind, type):
        return None
    try:
        adapter = TypeAdapter[Any](kind)
        schema = adapter.json_schema(mode="serialization")
    except Exception:
        return None
    if schema.get("type") != "string":
        return None
    to_python = adapter.serializer.to_python
    return Scalar("string", lambda value: to_python(value, mode="json"))
