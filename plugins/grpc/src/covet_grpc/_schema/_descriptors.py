"""From shapes to descriptors, which the protobuf library makes its messages of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from covet_grpc._schema._shapes import EnumShape, Field, MessageShape, Scalar, WellKnown

_TYPES: Final[dict[str, Any]] = {
    name.removeprefix("TYPE_").lower(): value
    for name, value in FieldDescriptorProto.Type.items()
    if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")
}


def describe_message(shape: MessageShape, into: FileDescriptorProto) -> DescriptorProto:
    """Add a message to a file; its fields have their numbers by now."""
    message = into.message_type.add(name=shape.type.rpartition(".")[2])
    optionals = []
    for each in shape.fields:
        field = message.field.add(name=each.name, number=each.number)
        field.label = FieldDescriptorProto.LABEL_OPTIONAL
        if each.json and each.json != each.name:
            field.json_name = each.json
        if each.label == "map":
            field.label = FieldDescriptorProto.LABEL_REPEATED
            _describe_map(each, field, message, shape)
            continue
        if each.label == "repeated":
            field.label = FieldDescriptorProto.LABEL_REPEATED
        elif each.label == "optional" and not isinstance(each.shape, MessageShape | WellKnown):
            field.proto3_optional = True
            optionals.append((each, field))
        _describe_type(each.shape, field)
    for each, field in optionals:
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{each.name}")
    for name, number in shape.removed.items():
        message.reserved_range.add(start=number, end=number + 1)
        # Of a field that is of another type now, or is back under another number, the name is in use.
        if " " not in name and all(each.name != name for each in shape.fields):
            message.reserved_name.append(name)
    return message


def _describe_type(shape: Any, field: FieldDescriptorProto) -> None:
    match shape:
        case Scalar():
            field.type = _TYPES[shape.type]
        case EnumShape():
            field.type = FieldDescriptorProto.TYPE_ENUM
            field.type_name = f".{shape.type}"
        case _:
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = f".{shape.type}"


def _describe_map(
    each: Field, field: FieldDescriptorProto, message: DescriptorProto, shape: MessageShape
) -> None:
    name = "".join(part.capitalize() for part in each.name.split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (part, kind) in enumerate((("key", each.key), ("value", each.shape)), 1):
        inner = entry.field.add(name=part, number=number)
        inner.label = FieldDescriptorProto.LABEL_OPTIONAL
        _describe_type(kind, inner)
    field.type = FieldDescriptorProto.TYPE_MESSAGE
    field.type_name = f".{shape.type}.{name}"


def describe_enum(
    shape: EnumShape, into: FileDescriptorProto, gone: dict[str, int]
) -> EnumDescriptorProto:
    """Add an enumeration to a file."""
    enum = into.enum_type.add(name=shape.type.rpartition(".")[2])
    for name, number in sorted(shape.numbers.items(), key=lambda item: item[1]):
        enum.value.add(name=name, number=number)
    for name, number in gone.items():
        enum.reserved_range.add(start=number, end=number)
        if name not in shape.numbers:
            enum.reserved_name.append(name)
    return enum


def imports_of(messages: Iterable[MessageShape]) -> list[str]:
    """The files of Google's that messages need."""
    return sorted(
        {
            each.shape.file
            for message in messages
            for each in message.fields
            if isinstance(each.shape, WellKnown)
        }
    )
