"""Encodings of documents besides JSON, and which of them one request and its answer have."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, Protocol, runtime_checkable

from covet_http._accept import TooManyRangesError, preferred
from covet_http._problem import Malformed, NotAcceptable
from covet_http._request import Request
from covet_http._sources import JSON
from covet_kernel import ConfigurationError
from covet_operations import Parsed, Signature

_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+\Z")
# So many values of Accept are remembered, those that came first.
_KNOWN: Final = 64


@runtime_checkable
class MediaCodec(Protocol):
    """An encoding of documents besides JSON, for ``covet_http_codecs``.

    Documents are plain data: what JSON can hold, and bytes and times where the encoding has them.

    Attributes:
        media_types: In lower case, without parameters, the favourite first. Requests may come as any
            of them, and answers are sent as the one that is asked for.
    """

    media_types: Sequence[str]

    def decode(self, data: bytes) -> Any:
        """Plain data of a whole body, which is at most ``max_body_bytes`` long.

        Must take time and memory in proportion to that, whatever the body claims to hold.

        Raises:
            ValueError: The body is no such document. The message goes to the client.
        """

    def encode(self, value: Any) -> bytes:
        """The body of an answer, of the plain data its JSON would show."""


class MessagePack:
    """`MediaCodec` for MessagePack, by msgspec: ``application/vnd.msgpack`` (and older names)."""

    media_types: Sequence[str] = (
        "application/vnd.msgpack",
        "application/msgpack",
        "application/x-msgpack",
    )

    def __init__(self) -> None:
        try:
            msgspec = import_module("msgspec")
        except ImportError:
            raise ConfigurationError(
                "COVET-HTTP-CODEC",
                "MessagePack is enabled, but the library that reads and writes it is not installed.",
                place="plugins.http.message_pack",
                fix="Install it: pip install 'covet-http[msgpack]', or leave message_pack out.",
            ) from None
        self._decode = msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._malformed = (msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError)

    def decode(self, data: bytes) -> Any:
        """Plain data; extensions other than timestamps are refused."""
        try:
            return self._decode(data)
        except self._malformed as error:
            raise ValueError(f"no MessagePack: {error}") from None

    def encode(self, value: Any) -> bytes:
        """The document as MessagePack."""
        encoded: bytes = self._encode(value)
        return encoded


def _refuse_extension(code: int, data: memoryview) -> Any:
    raise ValueError(f"no MessagePack that is known here: extension {code}")


class Codecs:
    """JSON and the other encodings of one serving phase.

    Args:
        others: Those besides JSON, each with who registered it.

    Attributes:
        negotiate: Whether there are others. Without them nothing here is asked for any request.

    Raises:
        ConfigurationError: One is none, or two have the same media type.
    """

    def __init__(self, others: Sequence[tuple[str, MediaCodec]] = ()) -> None:
        self._read: dict[str, MediaCodec] = {}
        owners = {JSON: "covet-http"}
        for owner, codec in others:
            for media_type in _checked(codec, owner):
                first = owners.setdefault(media_type, owner)
                if media_type == JSON or media_type in self._read:
                    raise _wrong(f"{first} and {owner} both register {media_type!r}")
                self._read[media_type] = codec
        self.negotiate = bool(others)
        named = [(each, codec) for _, codec in others for each in codec.media_types]
        self._write = [None, *(codec for _, codec in named)]
        self._offered = [JSON, *(each for each, _ in named)]
        self._favourites = [JSON, *(codec.media_types[0] for _, codec in others)]
        self._known: dict[bytes, int] = {}

    def reading(self, request: Request) -> MediaCodec | None:
        """What the body is encoded with, ``None`` for JSON.

        Raises:
            Unsupported: With nothing that is known.
        """
        codec = self._read.get(request.media_type())
        if codec is None:
            request.require_content(JSON, *self._read)
        else:
            request.require_coding()
        return codec

    def decode(self, codec: MediaCodec, body: bytes) -> Parsed:
        """The body as plain data.

        Raises:
            Malformed: It is none.
        """
        try:
            return Parsed(codec.decode(body))
        except ValueError as error:
            raise Malformed(f"the body is {error}") from None

    def choose(self, request: Request) -> None:
        """Settle what the answer is encoded with.

        Raises:
            NotAcceptable: The client takes nothing that there is.
            Malformed: It asks for more than anybody needs.
        """
        try:
            line = request.header(b"accept")
        except Malformed:
            line = request.header_list(b"accept")  # several lines are one list
        if not line:
            return
        index = self._known.get(line)
        if index is None:
            index = self._preferred(line)
        if index:
            request.codec = self._write[index]
            request.response.content_type = self._offered[index].encode("ascii")

    def encoder(self, signature: Signature) -> Callable[[Request, Any], bytes]:
        """Encodes results the way `choose` has settled."""
        to_json, to_python = (
            signature.output.serializer.to_json,
            signature.output.serializer.to_python,
        )

        def encode(request: Request, value: Any) -> bytes:
            codec = request.codec
            return to_json(value) if codec is None else codec.encode(to_python(value, mode="json"))

        return encode

    def _preferred(self, line: bytes) -> int:
        try:
            found = preferred(line.decode("latin-1"), self._offered)
        except TooManyRangesError as error:
            raise Malformed(f"the request has {error}") from None
        if found is None:
            raise NotAcceptable(f"answers come as {' or '.join(self._favourites)}")
        if len(self._known) < _KNOWN:
            self._known[line] = found
        return found


def _checked(codec: MediaCodec, owner: str) -> Sequence[str]:
    if not isinstance(codec, MediaCodec):
        raise _wrong(f"{owner} registers {codec!r}, which is no MediaCodec")
    if not codec.media_types or not all(_MEDIA_TYPE.match(each) for each in codec.media_types):
        raise _wrong(
            f"{owner} registers a codec for {list(codec.media_types)}; that has to be one media type"
            " in lower case at least"
        )
    return codec.media_types


def _wrong(problem: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-HTTP-CODEC",
        f"{problem}.",
        place="covet_http_codecs",
        fix="Register objects with media_types of their own, decode and encode.",
    )
