"""What processes tell each other about a room, over a broker."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

_Name: TypeAlias = Annotated[str, Meta(max_length=1024)]
_Id: TypeAlias = Annotated[str, Meta(max_length=100)]


class Envelope(Struct, tag_field="kind", kw_only=True, omit_defaults=True):
    """What all of them have.

    Attributes:
        room: Which room it is about.
        origin: The process it comes from.
        number: Counts up there, over all rooms.
        epoch: That this process has for the room, nothing while it has none.
    """

    room: _Name
    origin: _Id
    number: int
    epoch: _Id = ""


class Said(Envelope, tag="said", omit_defaults=True):
    """A message.

    Attributes:
        body: JSON.
        key: Of which it is the latest.
    """

    body: bytes
    key: str | None = None


class Hello(Envelope, tag="hello", omit_defaults=True):
    """A process asks what was said before.

    Attributes:
        attempt: From the second on, whoever knows answers.
    """

    attempt: int = 1


class Kept(Struct, array_like=True):
    """A message of a history."""

    origin: _Id
    number: int
    id: _Id
    body: bytes
    key: str | None


class State(Envelope, tag="state", omit_defaults=True):
    """Answers a hello: how things stood when it came.

    Attributes:
        to: The process and the number of the hello.
        position: Of the last message before it.
        seen: The last numbers of processes that came before it.
        history: The last messages, in their order.
        floor: The id before the first of them.
    """

    to: tuple[str, int]
    position: int
    seen: dict[str, int]
    history: list[Kept]
    floor: str


class Present(Envelope, tag="present", omit_defaults=True):
    """Who came to a process's members, and who left; without either, a sign of life.

    Attributes:
        version: Counts changes of this process's members.
        whole: Whether these are all of them.
    """

    version: int
    joined: dict[_Id, bytes] = {}
    left: list[_Id] = []
    whole: bool = False


class Ask(Envelope, tag="ask", omit_defaults=True):
    """Asks a process who its members are."""

    of: _Id


class Gone(Envelope, tag="gone", omit_defaults=True):
    """A process has left the room."""


_encode: Final = msgspec.msgpack.Encoder().encode
_Any: TypeAlias = "Said | Hello | State | Present | Ask | Gone"
_decoder: Final[msgspec.msgpack.Decoder[_Any]] = msgspec.msgpack.Decoder(
    Said | Hello | State | Present | Ask | Gone
)


def pack(envelope: Envelope) -> bytes:
    """The envelope as bytes."""
    return _encode(envelope)


def unpack(body: bytes) -> _Any | None:
    """What they hold, ``None`` if that is nothing of a room's."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
