"""What changes between two sets of ``.proto`` files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from covet_contract._codes import found
from covet_contract._proto._compiled import Declared, compiled
from covet_contract._proto._fields import compare_fields
from covet_operations import Finding

_WORDS: Final[Mapping[type, str]] = {
    DescriptorProto: "message",
    EnumDescriptorProto: "enum",
    ServiceDescriptorProto: "service",
}


def compare(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Finding]:
    """The changes from old texts to new ones, each by the path of its file.

    Types belong together by their full names, whichever file they are in, fields and values by their
    numbers: that is what is sent.

    Raises:
        ValueError: Files are not what the compiler of protobuf takes.
    """
    before, after = compiled(old), compiled(new)
    for name, declared in before.items():
        if _is_entry(declared):
            continue
        other = after.get(name)
        kind = _WORDS[type(declared.descriptor)]
        if other is None or type(other.descriptor) is not type(declared.descriptor):
            gone = found(f"proto-{kind}-removed", name, f"{kind} {name}", f"the {kind} is gone")
            yield gone.replaced(document=declared.file)
            continue
        for each in _compare(name, declared, other, before, after):
            yield each.replaced(document=other.file)
    for name, declared in after.items():
        if _is_entry(declared):
            continue
        other = before.get(name)
        kind = _WORDS[type(declared.descriptor)]
        if other is None or type(other.descriptor) is not type(declared.descriptor):
            come = found(f"proto-{kind}-added", name, f"{kind} {name}", f"the {kind} is new")
            yield come.replaced(document=declared.file)


def _compare(
    name: str,
    old: Declared,
    new: Declared,
    before: Mapping[str, Declared],
    after: Mapping[str, Declared],
) -> Iterator[Finding]:
    was, now = old.descriptor, new.descriptor
    if isinstance(was, ServiceDescriptorProto) and isinstance(now, ServiceDescriptorProto):
        yield from _methods(name, was.method, now.method)
    elif isinstance(was, EnumDescriptorProto) and isinstance(now, EnumDescriptorProto):
        yield from _values(name, was, now, is_read=name in _reached(after, answers=True))
    elif isinstance(was, DescriptorProto) and isinstance(now, DescriptorProto):
        is_read = name in _reached(before, answers=True)
        yield from compare_fields(name, was, now, before, after, is_read=is_read)


def _methods(
    name: str, old: Iterable[MethodDescriptorProto], new: Iterable[MethodDescriptorProto]
) -> Iterator[Finding]:
    before, after = {each.name: each for each in old}, {each.name: each for each in new}
    for method, was in before.items():
        place, subject = f"{name}.{method}", f"rpc {name}/{method}"
        now = after.get(method)
        if now is None:
            yield found("proto-method-removed", place, subject, "the method is gone")
            continue
        for code, one, two in (
            ("proto-request-changed", was.input_type, now.input_type),
            ("proto-response-changed", was.output_type, now.output_type),
        ):
            if one != two:
                yield found(code, place, subject, f"it was {one[1:]} and is {two[1:]}")
        kinds = _streaming(was), _streaming(now)
        if kinds[0] != kinds[1]:
            problem = f"it was {kinds[0]} and is {kinds[1]}"
            yield found("proto-streaming-changed", place, subject, problem)
        if now.options.deprecated and not was.options.deprecated:
            yield found("proto-deprecated", place, subject, "it is deprecated now")
    for method in after.keys() - before.keys():
        yield found(
            "proto-method-added", f"{name}.{method}", f"rpc {name}/{method}", "the method is new"
        )


def _streaming(method: MethodDescriptorProto) -> str:
    kinds = {
        (False, False): "unary",
        (True, False): "client streaming",
        (False, True): "server streaming",
        (True, True): "streaming both ways",
    }
    return kinds[method.client_streaming, method.server_streaming]


def _values(
    name: str, old: EnumDescriptorProto, new: EnumDescriptorProto, *, is_read: bool
) -> Iterator[Finding]:
    before = {each.name: each.number for each in old.value}
    after = {each.name: each.number for each in new.value}
    names = {number: value for value, number in after.items()}
    known = set(before.values())
    for value, number in before.items():
        place, subject = f"{name}.{value}", f"enum {name} {value}"
        if value in after:
            if after[value] != number:
                problem = f"its number was {number} and is {after[value]}"
                yield found("proto-value-number-changed", place, subject, problem)
        elif number in names:
            problem = f"number {number} is called {names[number]} now"
            yield found("proto-value-renamed", place, subject, problem)
        else:
            yield found("proto-value-removed", place, subject, "the value is gone")
    for value, number in after.items():
        if value not in before and number not in known:
            code = "proto-value-added" if is_read else "proto-input-value-added"
            yield found(code, f"{name}.{value}", f"enum {name} {value}", "the value is new")


def _reached(types: Mapping[str, Declared], *, answers: bool) -> set[str]:
    """The types that requests may have in them, or answers; all where there are no services."""
    roots = [
        (method.output_type if answers else method.input_type)[1:]
        for each in types.values()
        if isinstance(each.descriptor, ServiceDescriptorProto)
        for method in each.descriptor.method
    ]
    if not roots:
        return set(types)
    reached: set[str] = set()
    while roots:
        name = roots.pop()
        if name in reached or name not in types:
            continue
        reached.add(name)
        kind = types[name].descriptor
        if isinstance(kind, DescriptorProto):
            roots += [each.type_name[1:] for each in kind.field if each.type_name]
    return reached


def _is_entry(declared: Declared) -> bool:
    """Whether it is what the compiler makes of a map, which is compared with its field."""
    kind = declared.descriptor
    return isinstance(kind, DescriptorProto) and kind.options.map_entry
