"""What of protobuf stands for a Python type.

A shape says what is on the wire and how its values get there and back. Messages know their fields once
all of them are collected, since they may hold themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

Label: TypeAlias = Literal["", "optional", "repeated", "map"]

EnumClass: TypeAlias = type[Enum]
Model: TypeAlias = type[Any]
NUMBERS: Final = (
    "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
    "sfixed64", "bool", "float", "double",
)  # fmt: skip
"""Types that are packed where they are repeated."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value protobuf knows by itself.

    Attributes:
        type: As a ``.proto`` names it.
        out: What makes it of a Python value; ``None``: the value is it.
    """

    type: str
    out: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class WellKnown:
    """A message of Google's that stands for a Python type.

    Attributes:
        type: Its full name.
        file: The ``.proto`` it is in.
        out: From a Python value to its bytes.
        into: From the parsed message to a Python value.
    """

    type: str
    file: str
    out: Callable[[Any], bytes]
    into: Callable[[Any], Any]


@dataclass(eq=False, slots=True)
class EnumShape:
    """An enumeration.

    Attributes:
        type: Its full name.
        kind: The Python class.
        names: The name on the wire of each member, in order; a first one that means "not said" comes
            besides.
        numbers: The number of each name.
    """

    type: str
    kind: EnumClass
    names: dict[str, Enum]
    unsaid: str
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class MessageShape:
    """A message.

    Attributes:
        type: Its full name.
        model: The Python class, ``None`` for the inputs of an operation or a wrapped result.
        about: What it is, for the ``.proto``.
        fields: In the order of declaration.
        removed: The numbers and names of fields that it had once.
    """

    type: str
    model: Model | None
    about: str = ""
    fields: list[Field] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)


Shape: TypeAlias = Scalar | WellKnown | EnumShape | MessageShape


@dataclass(eq=False, slots=True)
class Field:
    """One field of a message.

    Attributes:
        name: On the wire.
        shape: Of its value, or of each of its values.
        label: ``"optional"`` says whether it is there even where it is zero.
        key: Of a map, the shape of its keys.
        attribute: What an object has it under; empty: nobody writes it.
        given: What it is called among the inputs; empty: nobody reads it.
        json: Its name in JSON.
        about: What it is, for the ``.proto``.
        number: On the wire.
    """

    name: str
    shape: Shape
    label: Label = ""
    key: Scalar | None = None
    attribute: str = ""
    given: str = ""
    json: str = ""
    about: str = ""
    number: int = 0

    @property
    def written(self) -> str:
        """Its type as a lock keeps it: what has to stay for its number to stay."""
        if self.label == "map":
            assert self.key is not None
            return f"map<{self.key.type}, {self.shape.type}>"
        return f"repeated {self.shape.type}" if self.label == "repeated" else self.shape.type
