"""How frames are written: as JSON texts, or as binary MessagePack.

A frame is an object with few members, whose values are encoded when it is put together: what goes to
many is encoded once for each encoding that is in use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Raw
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from covet_operations import Parsed
from covet_websocket._errors import BadFrame, WrongEncoding

S = TypeVar("S", bound=msgspec.Struct)
Data: TypeAlias = "str | bytes"
"""A frame as it is sent: text for ``str``."""

_BROKEN: Final = (msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError, ValueError)
_LONGEST: Final = 120


class Reader(Generic[S]):
    """Reads frames of one kind.

    Args:
        decode: What they hold.
        texts: Whether they are text, and not binary.
    """

    def __init__(self, decode: Callable[[Any], S], *, texts: bool) -> None:
        self._decode = decode
        self._texts = texts

    def read(self, data: Data) -> S:
        """The members of a frame; what a type says nothing of is left as it came.

        Raises:
            WrongEncoding: It is text and should be binary, or the other way round.
            BadFrame: It is no frame.
        """
        if isinstance(data, str) is not self._texts:
            kind = "text" if self._texts else "binary"
            raise WrongEncoding(f"frames of this subprotocol are {kind}")
        try:
            return self._decode(data)
        except _BROKEN as error:
            raise _bad(error) from None


class Encoding(ABC):
    """One way to write frames.

    Attributes:
        name: ``"json"`` or ``"msgpack"``.
        subprotocol: By which a client asks for it.
        media_type: What it is called in a contract.
    """

    name: ClassVar[str]
    subprotocol: ClassVar[str]
    media_type: ClassVar[str]

    @abstractmethod
    def reader(self, kind: type[S]) -> Reader[S]:
        """What reads frames of one kind."""

    @abstractmethod
    def document(self, raw: Raw) -> bytes | Parsed:
        """A value in a frame, for the pipeline to validate.

        Raises:
            BadFrame: It is none.
        """

    @abstractmethod
    def validate(self, adapter: TypeAdapter[Any], raw: Raw) -> Any:
        """A value in a frame as what it should be.

        Raises:
            ValidationError: It is something else.
            BadFrame: It is nothing at all.
        """

    @abstractmethod
    def value(self, adapter: TypeAdapter[Any], value: Any) -> Any:
        """A value of some type, encoded to be a member of a frame.

        Raises:
            PydanticSerializationError: It is of another type.
        """

    @abstractmethod
    def plain(self, value: Any) -> Any:
        """The same for plain data."""

    @abstractmethod
    def json(self, value: bytes) -> Any:
        """The same for what is JSON already."""

    @abstractmethod
    def frame(self, members: Mapping[str, Any]) -> Data:
        """The frame of encoded members."""


class Json(Encoding):
    """JSON, one text for each frame."""

    name = "json"
    subprotocol = "covet.json"
    media_type = "application/json"

    def reader(self, kind: type[S]) -> Reader[S]:
        return Reader(msgspec.json.Decoder(kind).decode, texts=True)

    def document(self, raw: Raw) -> bytes | Parsed:
        return bytes(raw)

    def validate(self, adapter: TypeAdapter[Any], raw: Raw) -> Any:
        return adapter.validator.validate_json(bytes(raw))

    def value(self, adapter: TypeAdapter[Any], value: Any) -> Any:
        return adapter.serializer.to_json(value, warnings="error")

    def plain(self, value: Any) -> Any:
        return to_json(value)

    def json(self, value: bytes) -> Any:
        return value

    def frame(self, members: Mapping[str, Any]) -> Data:
        # Bytes from a generator would take half as long again, and every frame passes here.
        inner = ",".join([f'"{name}":{value.decode()}' for name, value in members.items()])
        return f"{{{inner}}}"


class MessagePack(Encoding):
    """MessagePack, one binary message for each frame. Times are its only extension that is known."""

    name = "msgpack"
    subprotocol = "covet.msgpack"
    media_type = "application/vnd.msgpack"

    def __init__(self) -> None:
        self._decode = msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def reader(self, kind: type[S]) -> Reader[S]:
        decoder = msgspec.msgpack.Decoder(kind, ext_hook=_refuse_extension)
        return Reader(decoder.decode, texts=False)

    def _plain(self, raw: Raw) -> Any:
        try:
            return self._decode(raw)
        except _BROKEN as error:
            raise _bad(error) from None

    def document(self, raw: Raw) -> bytes | Parsed:
        return Parsed(self._plain(raw))

    def validate(self, adapter: TypeAdapter[Any], raw: Raw) -> Any:
        return adapter.validator.validate_python(self._plain(raw))

    def value(self, adapter: TypeAdapter[Any], value: Any) -> Any:
        return Raw(self._encode(adapter.serializer.to_python(value, mode="json", warnings="error")))

    def plain(self, value: Any) -> Any:
        return value

    def json(self, value: bytes) -> Any:
        return from_json(value)

    def frame(self, members: Mapping[str, Any]) -> Data:
        return self._encode(members)


def _refuse_extension(code: int, data: memoryview) -> Any:
    raise ValueError(f"extension {code} is not known")


def _bad(error: Exception) -> BadFrame:
    # What the library says may quote the client's own words, who can make them long.
    return BadFrame(str(error)[:_LONGEST])


JSON: Final = Json()
MESSAGE_PACK: Final = MessagePack()
ENCODINGS: Final[Mapping[str, Encoding]] = {each.subprotocol: each for each in (JSON, MESSAGE_PACK)}
SUBPROTOCOLS: Final[Sequence[str]] = tuple(ENCODINGS)


def encoding_of(subprotocol: str | None) -> Encoding:
    """What a client has asked for; JSON, unless it has."""
    return JSON if subprotocol is None else ENCODINGS.get(subprotocol, JSON)
