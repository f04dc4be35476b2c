"""``Annotated[int, Wire("sint32")]``: another scalar than the one a number is by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from covet_grpc._schema._shapes import Scalar

NumberType: TypeAlias = Literal[
    "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
    "sfixed64", "float", "double",
]  # fmt: skip
_REAL: Final = ("float", "double")


@dataclass(frozen=True, slots=True)
class Wire:
    """Says which scalar of protobuf a number is, where ``int64`` and ``double`` are not wanted.

    Attributes:
        type: As a ``.proto`` names it.
    """

    type: NumberType


def wire_scalar(wire: Wire, kind: Any) -> Scalar | None:
    """The scalar for a number of this type, ``None`` if it is none."""
    if kind not in (int, float) or (kind is float) is not (wire.type in _REAL):
        return None
    return Scalar(wire.type)
