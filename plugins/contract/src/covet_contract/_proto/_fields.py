"""Fields of messages: their numbers, types and names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from covet_contract._codes import found
from covet_contract._proto._compiled import Declared
from covet_operations import Finding

Field = FieldDescriptorProto

_ALIKE: Final[tuple[frozenset[int], ...]] = (
    frozenset(
        {
            Field.TYPE_INT32,
            Field.TYPE_INT64,
            Field.TYPE_UINT32,
            Field.TYPE_UINT64,
            Field.TYPE_BOOL,
            Field.TYPE_ENUM,
        }
    ),
    frozenset({Field.TYPE_SINT32, Field.TYPE_SINT64}),
    frozenset({Field.TYPE_FIXED32, Field.TYPE_SFIXED32}),
    frozenset({Field.TYPE_FIXED64, Field.TYPE_SFIXED64}),
    frozenset({Field.TYPE_STRING, Field.TYPE_BYTES}),
)
"""Types that are written alike: the one can be read where the other was sent."""


def compare_fields(
    name: str,
    old: DescriptorProto,
    new: DescriptorProto,
    before: Mapping[str, Declared],
    after: Mapping[str, Declared],
    *,
    is_read: bool,
) -> Iterator[Finding]:
    """The changes of a message's fields.

    Args:
        name: The message's full name.
        old: As it is promised.
        new: As it is to be.
        before: Every type that is promised.
        after: Every type there is to be.
        is_read: Whether it may be in an answer.
    """
    fields = {each.number: each for each in new.field}
    names = {each.name: each for each in new.field}
    numbers = {each.number for each in old.field}
    for was in old.field:
        place, subject = f"{name}.{was.name}", f"message {name} field {was.number} {was.name}"
        now = fields.get(was.number)
        moved = names.get(was.name)
        if moved is not None and moved.number != was.number:
            problem = f"its number was {was.number} and is {moved.number}"
            yield found("proto-field-number-changed", place, subject, problem)
        elif now is None:
            code = "proto-field-removed" if is_read else "proto-input-field-removed"
            yield found(code, place, subject, "the field is gone")
            if not any(each.start <= was.number < each.end for each in new.reserved_range):
                problem = f"nothing reserves the number {was.number}"
                yield found("proto-number-not-reserved", place, subject, problem)
        else:
            yield from _field(place, subject, (old, was, before), (new, now, after))
    for now in new.field:
        moved_here = any(each.name == now.name for each in old.field)
        if now.number not in numbers and not moved_here:
            code = "proto-field-added"
            if now.label == Field.LABEL_REQUIRED:
                code = "proto-field-required"
            subject = f"message {name} field {now.number} {now.name}"
            yield found(code, f"{name}.{now.name}", subject, "the field is new")


Sided = tuple[DescriptorProto, FieldDescriptorProto, Mapping[str, Declared]]


def _field(place: str, subject: str, old: Sided, new: Sided) -> Iterator[Finding]:
    was, now = old[1], new[1]
    if was.name != now.name:
        problem = f"it is called {now.name} now"
        yield found("proto-field-renamed", place, subject, problem)
    elif was.json_name != now.json_name:
        problem = f"in JSON it was {was.json_name} and is {now.json_name}"
        yield found("proto-field-renamed", place, subject, problem)
    types = _type(old), _type(new)
    if types[0] != types[1]:
        alike = any({was.type, now.type} <= each for each in _ALIKE)
        code = "proto-field-type-alike" if alike else "proto-field-type-changed"
        yield found(code, place, subject, f"it was {types[0]} and is {types[1]}")
    repeated = was.label == Field.LABEL_REPEATED, now.label == Field.LABEL_REPEATED
    if repeated[0] != repeated[1]:
        problem = "it is repeated now" if repeated[1] else "it is not repeated any more"
        yield found("proto-field-repeated-changed", place, subject, problem)
    needed = was.label == Field.LABEL_REQUIRED, now.label == Field.LABEL_REQUIRED
    if needed[0] != needed[1]:
        problem = "it is required now" if needed[1] else "it is not required any more"
        yield found("proto-field-required", place, subject, problem)
    elif was.proto3_optional != now.proto3_optional:
        word = "is" if now.proto3_optional else "is not"
        problem = f"whether it was set {word} known now"
        yield found("proto-field-presence-changed", place, subject, problem)
    choices = _choice(old), _choice(new)
    if choices[0] != choices[1]:
        problem = f"it was {choices[0] or 'none'} of a oneof and is {choices[1] or 'none'}"
        yield found("proto-field-oneof-changed", place, subject, problem)
    if now.options.deprecated and not was.options.deprecated:
        yield found("proto-deprecated", place, subject, "it is deprecated now")


def _type(side: Sided) -> str:
    _, field, types = side
    if not field.type_name:
        return Field.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = field.type_name[1:]
    known = types.get(name)
    entry = known.descriptor if known is not None else None
    if isinstance(entry, DescriptorProto) and entry.options.map_entry:
        key, value = (_type((entry, each, types)) for each in entry.field)
        return f"map<{key}, {value}>"
    return name


def _choice(side: Sided) -> str:
    message, field, _ = side
    if not field.HasField("oneof_index") or field.proto3_optional:
        return ""
    return message.oneof_decl[field.oneof_index].name
