"""The two ends of an answer: it went well, or it did not."""

from __future__ import annotations

from dataclasses import dataclass

from covet_mysql._protocol._constants import ERROR
from covet_mysql._protocol._fields import number
from covet_mysql._protocol._packets import ProtocolError

WORDS = 2000
"""Characters of an error's text that are kept."""


@dataclass(frozen=True)
class Done:
    """It went well.

    Attributes:
        changed: Rows that the statement met.
        status: The server's state, as bits.
    """

    changed: int
    status: int


@dataclass(frozen=True)
class Failure:
    """It did not.

    Attributes:
        code: The server's number for the error.
        sqlstate: Five characters.
        message: Its words.
    """

    code: int
    sqlstate: str
    message: str


def done(packet: bytes) -> Done:
    """What an OK says, at the end of rows too.

    Raises:
        ProtocolError: It is none.
    """
    changed, at = number(packet, 1)
    _, at = number(packet, at)
    if len(packet) < at + 4:
        raise ProtocolError("an OK ends too early")
    return Done(changed, int.from_bytes(packet[at : at + 2], "little"))


def failure(packet: bytes) -> Failure:
    """What an error says; before the greeting it has no sqlstate.

    Raises:
        ProtocolError: It is none.
    """
    if len(packet) < 3 or packet[0] != ERROR:
        raise ProtocolError("an error ends too early")
    code = int.from_bytes(packet[1:3], "little")
    at, state = 3, "HY000"
    if packet[3:4] == b"#" and len(packet) >= 9:
        at, given = 9, packet[4:9].decode("ascii", "replace")
        if given.isalnum():
            state = given
    return Failure(code, state, packet[at:].decode("utf-8", "replace")[:WORDS])
