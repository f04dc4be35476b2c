"""From descriptors to the text of a ``.proto``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    MethodOptions,
)

_TYPES: Final = {
    value: name.removeprefix("TYPE_").lower() for name, value in FieldDescriptorProto.Type.items()
}
_REPEATED: Final = FieldDescriptorProto.LABEL_REPEATED


def proto_text(file: FileDescriptorProto, about: Mapping[str, str]) -> str:
    """A file as people write it.

    Args:
        file: What is in it.
        about: What to say of messages, fields and methods, by full name.
    """
    lines = [f'syntax = "{file.syntax}";', ""]
    if file.package:
        lines += [f"package {file.package};", ""]
    lines += [f'import "{each}";' for each in file.dependency]
    if file.dependency:
        lines.append("")
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        name = prefix + service.name
        lines += [*_said(about.get(name), ""), f"service {service.name} {{"]
        for method in service.method:
            lines += _said(about.get(f"{name}.{method.name}"), "  ")
            lines += _method(method, file.package)
        lines += ["}", ""]
    for message in file.message_type:
        lines += [*_message(message, file.package, prefix + message.name, about), ""]
    for enum in file.enum_type:
        lines += [*_enum(enum), ""]
    return "\n".join(lines)


def _said(text: str | None, indent: str) -> list[str]:
    """A comment: the paragraph that comes first."""
    lines = []
    for line in (text or "").strip().splitlines():
        if not line.strip():
            break
        lines.append(f"{indent}// {line.strip()}")
    return lines


def _method(method: MethodDescriptorProto, package: str) -> Iterator[str]:
    takes = ("stream " if method.client_streaming else "") + _local(method.input_type, package)
    gives = ("stream " if method.server_streaming else "") + _local(method.output_type, package)
    line = f"  rpc {method.name}({takes}) returns ({gives})"
    options = []
    if method.options.deprecated:
        options.append("deprecated = true")
    if method.options.idempotency_level:
        level = MethodOptions.IdempotencyLevel.Name(method.options.idempotency_level)
        options.append(f"idempotency_level = {level}")
    if not options:
        yield f"{line};"
        return
    yield f"{line} {{"
    yield from (f"    option {each};" for each in options)
    yield "  }"


def _message(
    message: DescriptorProto, package: str, name: str, about: Mapping[str, str]
) -> Iterator[str]:
    yield from _said(about.get(name), "")
    yield f"message {message.name} {{"
    entries = {each.name: each for each in message.nested_type}
    for field in message.field:
        yield from _said(about.get(f"{name}.{field.name}"), "  ")
        yield f"  {_field(field, package, entries)};"
    if message.reserved_range:
        yield f"  reserved {', '.join(str(each.start) for each in message.reserved_range)};"
    if message.reserved_name:
        yield f"  reserved {_quoted(message.reserved_name)};"
    yield "}"


def _field(
    field: FieldDescriptorProto, package: str, entries: Mapping[str, DescriptorProto]
) -> str:
    entry = entries.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = (_type(each, package) for each in entry.field)
        kind = f"map<{key}, {value}>"
    else:
        kind = _type(field, package)
        if field.label == _REPEATED:
            kind = f"repeated {kind}"
        elif field.proto3_optional:
            kind = f"optional {kind}"
    json = f' [json_name = "{_escaped(field.json_name)}"]' if field.HasField("json_name") else ""
    return f"{kind} {field.name} = {field.number}{json}"


def _type(field: FieldDescriptorProto, package: str) -> str:
    return _local(field.type_name, package) if field.type_name else _TYPES[field.type]


def _enum(enum: EnumDescriptorProto) -> Iterator[str]:
    yield f"enum {enum.name} {{"
    for value in enum.value:
        yield f"  {value.name} = {value.number};"
    if enum.reserved_range:
        yield f"  reserved {', '.join(str(each.start) for each in enum.reserved_range)};"
    if enum.reserved_name:
        yield f"  reserved {_quoted(enum.reserved_name)};"
    yield "}"


def _local(name: str, package: str) -> str:
    """A type's name as it is written in a file of this package."""
    name = name.removeprefix(".")
    own = name.removeprefix(f"{package}.") if package else name
    return own if "." not in own else name


def _quoted(names: Any) -> str:
    return ", ".join(f'"{each}"' for each in names)


def _escaped(text: str) -> str:
    """A text within quotes: nothing in it ends them, or is taken for more than itself."""
    return "".join(
        each
        if each.isprintable() and each not in '"\\'
        else f"\\u{ord(each):04x}"
        if ord(each) < 0x10000
        else f"\\U{ord(each):08x}"
        for each in text
    )
