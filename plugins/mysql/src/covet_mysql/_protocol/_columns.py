"""What the server says of a result's columns."""

from __future__ import annotations

from dataclasses import dataclass

from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._fields import number, string
from covet_mysql._protocol._packets import ProtocolError

MOST = 4096
"""Columns that a table or a result can have."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: As the statement calls it.
        kind: The number of its type.
        unsigned: Its numbers have no sign.
        binary: Its texts are bytes.
        extended: MariaDB's name for what the type does not tell, such as ``uuid``.
    """

    name: str
    kind: int
    unsigned: bool = False
    binary: bool = False
    extended: str = ""


def column(packet: bytes, *, extended: bool) -> Column:
    """A column's definition.

    Args:
        packet: The message.
        extended: Whether it has MariaDB's extended metadata.

    Raises:
        ProtocolError: It is none.
    """
    at = 0
    name = b""
    for position in range(6):
        part, at = string(packet, at)
        if position == 4:
            name = part
    more = b""
    if extended:
        more, at = string(packet, at)
    _, at = number(packet, at)
    if len(packet) < at + 10:
        raise ProtocolError("a column's definition ends too early")
    charset = int.from_bytes(packet[at : at + 2], "little")
    flags = int.from_bytes(packet[at + 7 : at + 9], "little")
    return Column(
        name=name.decode("utf-8", "replace"),
        kind=packet[at + 6],
        unsigned=bool(flags & c.UNSIGNED),
        binary=charset == c.BINARY,
        extended=_type_name(more),
    )


def _type_name(more: bytes) -> str:
    at, name = 0, ""
    while at < len(more):
        what = more[at]
        value, at = string(more, at + 1)
        if what == 0:
            name = value.decode("ascii", "replace")
    return name
