"""Objects whose selected fields are simply there, made by one compiled function.

Of lists most of the work is the same for every item: read an attribute, look that it is what its type
says, put it under its key. Here that is written out as Python, once for a selection, and compiled.
Whatever an item has that is not exactly as its type says (a null too many, an int that is too large,
something to be awaited) raises `NotFlatError`, and all items are gone through one by one, where errors
are made and null goes where it belongs. Nothing is called twice by that: attributes are only read.

The source consists of the templates below, of numbers, and of attribute names of models; what a client
calls its fields is reached through the names ``v0``, ``v1``, ...
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from keyword import iskeyword
from typing import Any, Final, TypeAlias

from graphql import GraphQLEnumType

from covet_graphql._plan import LEAF, LIST, OBJECT, Selection, Shape
from covet_graphql._resolvers import Read

_GLOBALS: Final[dict[str, Any]] = {"isfinite": math.isfinite}
_DEEPEST: Final = 4
Make: TypeAlias = Callable[[Any], Any]


class NotFlatError(Exception):
    """A value is not plainly what its type says."""


class Flat:
    """Makes answers of objects of one selection.

    Attributes:
        many: Makes those of a list; raises `NotFlatError`.
    """

    __slots__ = ("many",)

    def __init__(self, many: Make) -> None:
        self.many = many


class _Plain(set[type]):
    """The classes whose instances are objects, and neither errors nor something to be awaited."""

    def refuse(self, value: Any) -> bool:
        kind = type(value)
        if isinstance(value, Exception) or hasattr(kind, "__await__"):
            return True
        self.add(kind)
        return False


class _Writer:
    """Lines of a function, and the objects they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.values: list[Any] = []
        self._next = 0

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def name(self, value: object) -> str:
        self.values.append(value)
        return f"v{len(self.values) - 1}"

    def local(self) -> str:
        self._next += 1
        return f"a{self._next}"


def flat(shape: Shape) -> Flat | None:
    """What makes answers of these items, ``None`` where some of their fields have to be resolved."""
    writer = _Writer()
    writer.line(0, "def many(items):")
    writer.line(1, "r = []")
    writer.line(1, "put = r.append")
    writer.line(1, "for o in items:")
    if not _item(writer, shape, "o", 2, 0):
        return None
    writer.line(1, "return r")
    found = _maker("\n".join(writer.lines), len(writer.values))(*writer.values, NotFlatError)
    return Flat(found)


def _item(writer: _Writer, shape: Shape, given: str, depth: int, level: int) -> bool:
    """Write what puts an item's answer into the list."""
    made = writer.local()
    if not _value(writer, shape, given, made, depth, level):
        return False
    writer.line(depth, f"put({made})")
    return True


def _value(writer: _Writer, shape: Shape, given: str, made: str, depth: int, level: int) -> bool:
    """Write what leaves in ``made`` what is sent for ``given``."""
    writer.line(depth, f"if {given} is None:")
    if shape.required:
        writer.line(depth + 1, "raise NotFlat")
    else:
        writer.line(depth + 1, f"{made} = None")
    if shape.kind == LEAF:
        _leaf(writer, shape, given, made, depth)
        return True
    if level == _DEEPEST:
        return False
    if shape.kind == OBJECT:
        writer.line(depth, "else:")
        return _object(writer, shape, given, made, depth + 1, level + 1)
    if shape.kind == LIST and shape.item is not None:
        return _list(writer, shape.item, given, made, depth, level + 1)
    return False


def _list(writer: _Writer, item: Shape, given: str, made: str, depth: int, level: int) -> bool:
    writer.line(depth, f"elif {given}.__class__ is not list:")
    writer.line(depth + 1, "raise NotFlat")
    writer.line(depth, "else:")
    writer.line(depth + 1, f"{made} = []")
    each, inner = writer.local(), writer.local()
    writer.line(depth + 1, f"for {each} in {given}:")
    if not _value(writer, item, each, inner, depth + 2, level):
        return False
    writer.line(depth + 2, f"{made}.append({inner})")
    return True


def _object(writer: _Writer, shape: Shape, given: str, made: str, depth: int, level: int) -> bool:
    selection: Selection = shape.selection(shape.type)
    if not selection.fields or selection.deferred:
        return False
    plain = writer.name(_Plain())
    writer.line(depth, f"if {given}.__class__ not in {plain} and {plain}.refuse({given}):")
    writer.line(depth + 1, "raise NotFlat")
    parts: list[str] = []
    for field in selection.fields:
        key = writer.name(field.key)
        if field.resolver is None:
            parts.append(f"{key}: {writer.name(field.parent)}")
            continue
        read = field.resolver
        if field.stream is not None:
            return False
        if not isinstance(read, Read) or not read.name.isidentifier() or iskeyword(read.name):
            return False
        value, out = writer.local(), writer.local()
        if read.is_key:
            writer.line(depth, f"{value} = {given}.get({writer.name(read.name)})")
        else:
            writer.line(depth, "try:")
            writer.line(depth + 1, f"{value} = {given}.{read.name}")
            writer.line(depth, "except Exception:")
            writer.line(depth + 1, "raise NotFlat from None")
        if not _value(writer, field.shape, value, out, depth, level):
            return False
        parts.append(f"{key}: {out}")
    writer.line(depth, f"{made} = {{{', '.join(parts)}}}")
    return True


_TESTS: Final[Mapping[str, str]] = {
    "Int": "{0}.__class__ is int and -2147483648 <= {0} <= 2147483647",
    "Float": "{0}.__class__ is float and isfinite({0})",
    "String": "{0}.__class__ is str",
    "ID": "{0}.__class__ is str",
    "Boolean": "{0}.__class__ is bool",
}


def _leaf(writer: _Writer, shape: Shape, given: str, made: str, depth: int) -> None:
    kind = shape.type
    test = _TESTS.get(kind.name)
    if test is not None:
        writer.line(depth, f"elif {test.format(given)}:")
        writer.line(depth + 1, f"{made} = {given}")
        writer.line(depth, "else:")
        writer.line(depth + 1, "raise NotFlat")
        return
    names = kind.extensions.get("covet") if isinstance(kind, GraphQLEnumType) else None
    out = writer.name(shape.out if names is None else names.__getitem__)
    writer.line(depth, "else:")
    writer.line(depth + 1, "try:")
    writer.line(depth + 2, f"{made} = {out}({given})")
    writer.line(depth + 1, "except Exception:")
    writer.line(depth + 2, "raise NotFlat from None")


@lru_cache(maxsize=256)
def _maker(text: str, count: int) -> Callable[..., Any]:
    names = "".join(f"v{number}, " for number in range(count))
    lines = [f"def make({names}NotFlat):", *(f"    {line}" for line in text.splitlines())]
    code = compile("\n".join([*lines, "    return many"]), "<covet selection>", "exec")
    found: dict[str, Any] = {}
    exec(code, _GLOBALS, found)  # noqa: S102 - ours, see above
    make: Callable[..., Any] = found["make"]
    return make
