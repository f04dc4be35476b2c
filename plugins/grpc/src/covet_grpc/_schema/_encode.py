"""From Python values to the bytes of messages: one function for each message, generated once.

Written out field by field this takes about half the time that filling a message of the protobuf
library and serializing it does. The source is assembled from the templates below and from integers
alone: no name of a user ever becomes part of it, save those of attributes, which are identifiers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from covet_grpc._schema._shapes import (
    NUMBERS,
    EnumShape,
    Field,
    MessageShape,
    Scalar,
    Shape,
    WellKnown,
)

Encode: TypeAlias = Callable[[Any], bytes]

_SHORT: Final = 1 << 14
_WIRE: Final = {
    "double": 1, "fixed64": 1, "sfixed64": 1, "float": 5, "fixed32": 5, "sfixed32": 5,
    "string": 2, "bytes": 2,
}  # fmt: skip
_PACKED: Final = {
    "double": struct.Struct("<d").pack, "float": struct.Struct("<f").pack,
    "fixed32": struct.Struct("<I").pack, "sfixed32": struct.Struct("<i").pack,
    "fixed64": struct.Struct("<Q").pack, "sfixed64": struct.Struct("<q").pack,
}  # fmt: skip
_RANGES: Final = {
    "int32": (-(1 << 31), 1 << 31), "sint32": (-(1 << 31), 1 << 31), "uint32": (0, 1 << 32),
    "int64": (-(1 << 63), 1 << 63), "sint64": (-(1 << 63), 1 << 63), "uint64": (0, 1 << 64),
}  # fmt: skip


def varint(value: int) -> bytes:
    """A number of up to 64 bits, which is not negative, as it is sent."""
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


VARINTS: Final = [varint(number) for number in range(_SHORT)]
"""The shortest ones, made beforehand."""


def _number(name: str) -> Callable[[int], bytes]:
    """What writes a whole number of a type."""
    low, high = _RANGES[name]
    zigzag = name.startswith("s")

    def write(value: int) -> bytes:
        if not low <= value < high:
            raise ValueError(f"{value} is no {name}")
        if zigzag:
            value = value << 1 if value >= 0 else ~(value << 1)
        elif value < 0:
            value += 1 << 64
        return VARINTS[value] if value < _SHORT else varint(value)

    return write


_WRITERS: Final[dict[str, Callable[[Any], bytes]]] = {
    **{name: _number(name) for name in _RANGES},
    **_PACKED,
    "bool": lambda value: b"\x01" if value else b"\x00",
}


class Encoders:
    """The functions of a schema's messages, each made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[MessageShape, Encode] = {}

    def of(self, shape: MessageShape) -> Encode:
        """What encodes the values of a message."""
        found = self._made.get(shape)
        if found is None:
            # One that holds itself finds this while its own function is being made.
            self._made[shape] = self._later(shape)
            found = self._made[shape] = _Writer(self, shape).compiled()
        return found

    def _later(self, shape: MessageShape) -> Encode:
        def encode(value: Any) -> bytes:
            return self._made[shape](value)

        return encode


class _Writer:
    """Writes the function of one message."""

    def __init__(self, encoders: Encoders, shape: MessageShape) -> None:
        self._encoders = encoders
        self._shape = shape
        self._names: dict[str, Any] = {"V": VARINTS, "L": len}
        self._lines: list[str] = []

    def compiled(self) -> Encode:
        fields = [each for each in self._shape.fields if each.attribute]
        for each in sorted(fields, key=lambda each: each.number):
            self._field(each)
        text = "\n".join(["def encode(v):", "    p = []", *self._lines, '    return b"".join(p)'])
        exec(compile(text, "<covet grpc>", "exec"), self._names)  # noqa: S102 - ours, see above
        made: Encode = self._names["encode"]
        return made

    def _name(self, value: object) -> str:
        name = f"n{len(self._names)}"
        self._names[name] = value
        return name

    def _tag(self, each: Field, wire: int) -> str:
        return self._name(varint(each.number << 3 | wire))

    def _field(self, each: Field) -> None:
        assert each.attribute.isidentifier()
        value = (
            f"v[{self._name(each.attribute)}]"
            if self._shape.model is None
            else f"v.{each.attribute}"
        )
        self._lines.append(f"    x = {value}")
        match each.label:
            case "optional":
                self._lines.append("    if x is not None:")
                self._single(each, each.shape, "        ")
            case "repeated":
                self._lines.append("    if x:")
                self._repeated(each)
            case "map":
                self._lines.append("    if x:")
                self._map(each)
            case _:
                self._implied(each)

    def _implied(self, each: Field) -> None:
        """One that is left out where it is zero, as readers then have it."""
        shape = each.shape
        if isinstance(shape, Scalar):
            if shape.out is not None:
                self._lines.append(f"    x = {self._name(shape.out)}(x)")
                shape = Scalar(shape.type)
            self._lines.append("    if x:")
        else:
            self._lines.append("    if True:")
        self._single(each, shape, "        ")

    def _single(self, each: Field, shape: Shape, indent: str) -> None:
        """Append one value, which is in ``x``, with its tag."""
        if isinstance(shape, Scalar) and shape.type not in ("string", "bytes"):
            tag, write = self._tag(each, _WIRE.get(shape.type, 0)), self._name(_WRITERS[shape.type])
            if shape.type in _RANGES and not shape.type.startswith("s"):
                # Nearly always a small one.
                self._lines.append(
                    f"{indent}p.append({tag} + (V[x] if 0 <= x < {_SHORT} else {write}(x)))"
                )
            else:
                self._lines.append(f"{indent}p.append({tag} + {write}(x))")
            return
        if isinstance(shape, EnumShape):
            numbers = self._name(_by_member(shape))
            self._lines.append(f"{indent}p.append({self._tag(each, 0)} + {numbers}[x])")
            return
        self._sized(self._tag(each, 2), shape, indent)

    def _sized(self, tag: str, shape: Shape, indent: str) -> None:
        self._lines += [
            f"{indent}t = {self._bytes(shape)}",
            f"{indent}n = L(t)",
            f"{indent}p.append({tag} + (V[n] if n < {_SHORT} else {self._name(varint)}(n)) + t)",
        ]

    def _bytes(self, shape: Shape, value: str = "x") -> str:
        """The expression for the bytes of a value that has a length."""
        match shape:
            case Scalar(type="string", out=None):
                return f"{value}.encode()"
            case Scalar(type="string", out=out):
                return f"{self._name(out)}({value}).encode()"
            case Scalar():
                return f"{self._name(bytes)}({value})"
            case WellKnown():
                return f"{self._name(shape.out)}({value})"
            case MessageShape():
                return f"{self._name(self._encoders.of(shape))}({value})"
        raise AssertionError(shape)

    def _repeated(self, each: Field) -> None:
        shape = each.shape
        if isinstance(shape, Scalar) and shape.type in NUMBERS:
            write = self._name(_WRITERS[shape.type])
            self._lines.append(f'        t = b"".join([{write}(y) for y in x])')
        elif isinstance(shape, EnumShape):
            numbers = self._name(_by_member(shape))
            self._lines.append(f'        t = b"".join([{numbers}[y] for y in x])')
        else:
            tag = self._tag(each, 2)
            self._lines.append("        for x in x:")
            self._sized(tag, shape, "            ")
            return
        self._lines += [
            "        n = L(t)",
            f"        p.append({self._tag(each, 2)} + (V[n] if n < {_SHORT} else {self._name(varint)}(n)) + t)",
        ]

    def _map(self, each: Field) -> None:
        assert each.key is not None
        entry = MessageShape("", None)
        entry.fields = [
            Field("key", each.key, attribute="key", number=1),
            Field("value", each.shape, attribute="value", number=2),
        ]
        encode = self._name(_Writer(self._encoders, entry).compiled())
        self._lines += [
            "        for k, x in x.items():",
            f'            t = {encode}({{"key": k, "value": x}})',
            "            n = L(t)",
            f"            p.append({self._tag(each, 2)} + (V[n] if n < {_SHORT} else {self._name(varint)}(n)) + t)",
        ]


def _by_member(shape: EnumShape) -> dict[Any, bytes]:
    write = _WRITERS["int32"]
    return {member: write(shape.numbers[name]) for name, member in shape.names.items()}
