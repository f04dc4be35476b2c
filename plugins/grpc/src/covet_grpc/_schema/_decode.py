"""From messages to plain data that pydantic validates: one function for each message, generated once.

The bytes are parsed by the protobuf library, which bounds their nesting and knows its own limits. What
is generated reads the fields. No name of a user becomes part of the source, save those of fields, which
are identifiers.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from typing import Any, TypeAlias

from covet_grpc._schema._shapes import EnumShape, Field, MessageShape, Scalar, WellKnown

Extract: TypeAlias = Callable[[Any], dict[str, Any]]


class Extractors:
    """The functions of a schema's messages, each made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[MessageShape, Extract] = {}

    def of(self, shape: MessageShape) -> Extract:
        """What reads the fields of a message: those that are there, under the names of inputs."""
        found = self._made.get(shape)
        if found is None:
            # One that holds itself finds this while its own function is being made.
            self._made[shape] = self._later(shape)
            found = self._made[shape] = _Writer(self, shape).compiled()
        return found

    def _later(self, shape: MessageShape) -> Extract:
        def extract(message: Any) -> dict[str, Any]:
            return self._made[shape](message)

        return extract


class _Writer:
    """Writes the function of one message."""

    def __init__(self, extractors: Extractors, shape: MessageShape) -> None:
        self._extractors = extractors
        self._shape = shape
        self._names: dict[str, Any] = {}
        self._lines: list[str] = []

    def compiled(self) -> Extract:
        always: list[Field] = []
        sometimes: list[Field] = []
        for each in self._shape.fields:
            if each.given:
                (sometimes if self._has_presence(each) else always).append(each)
        items = ", ".join(f"{self._name(each.given)}: {self._value(each)}" for each in always)
        for each in sometimes:
            self._sometimes(each)
        text = "\n".join(["def extract(m):", f"    d = {{{items}}}", *self._lines, "    return d"])
        exec(compile(text, "<covet grpc>", "exec"), self._names)  # noqa: S102 - ours, see above
        made: Extract = self._names["extract"]
        return made

    def _name(self, value: object) -> str:
        name = f"n{len(self._names)}"
        self._names[name] = value
        return name

    def _has_presence(self, each: Field) -> bool:
        if each.label in ("repeated", "map"):
            return False
        return each.label == "optional" or not isinstance(each.shape, Scalar)

    def _sometimes(self, each: Field) -> None:
        given = self._name(each.given)
        if isinstance(each.shape, EnumShape) and not each.label:
            # Zero stands for none that was given.
            self._lines += [
                f"    x = {_read(each, self._name)}",
                f"    if x: d[{given}] = {self._enum(each.shape)}(x, x)",
            ]
            return
        self._lines += [
            f"    if m.HasField({self._name(each.name)}):",
            f"        d[{given}] = {self._value(each)}",
        ]

    def _value(self, each: Field) -> str:
        read = _read(each, self._name)
        match each.label:
            case "repeated":
                return self._many(each, read)
            case "map":
                made = self._made(each, "x")
                if made == "x":
                    return f"{self._name(dict)}({read})"
                return f"{{k: {made} for k, x in {read}.items()}}"
        return self._made(each, read)

    def _many(self, each: Field, read: str) -> str:
        made = self._made(each, "x")
        return f"{read}[:]" if made == "x" else f"[{made} for x in {read}]"

    def _made(self, each: Field, value: str) -> str:
        """The expression for one value."""
        match each.shape:
            case Scalar():
                return value
            case WellKnown():
                return f"{self._name(each.shape.into)}({value})"
            case EnumShape():
                # A number that no member has is left to be refused.
                return f"{self._enum(each.shape)}({value}, {value})"
            case MessageShape():
                return f"{self._name(self._extractors.of(each.shape))}({value})"

    def _enum(self, shape: EnumShape) -> str:
        return self._name(
            {shape.numbers[name]: each.value for name, each in shape.names.items()}.get
        )


def _read(each: Field, name: Callable[[object], str]) -> str:
    assert each.name.isidentifier()
    if keyword.iskeyword(each.name):
        return f"{name(getattr)}(m, {name(each.name)})"
    return f"m.{each.name}"
