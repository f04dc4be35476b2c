"""One method as it is served: from its messages to the operation, and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from covet_grpc._binding import GrpcBinding
from covet_grpc._call import GrpcCall
from covet_grpc._frames import framed, framed_compressed
from covet_operations import Codec, Endpoint, Invalid, Signature

Decode = Callable[[bytes], Any]
Encode = Callable[[Any], bytes]


class Route:
    """What an address leads to.

    Attributes:
        endpoint: The operation.
        domain: Who says so in its error details.
        streams_out: Whether many messages go out.
    """

    __slots__ = ("binding", "domain", "endpoint", "operation", "streams_out")

    def __init__(self, endpoint: Endpoint[GrpcBinding], domain: str) -> None:
        self.endpoint = endpoint
        self.operation = endpoint.operation
        self.binding = endpoint.binding
        self.domain = domain or endpoint.binding.service
        self.streams_out = endpoint.kind in ("server_stream", "bidi")


def codec_of(
    signature: Signature, decode: Decode, encode: Encode, compress_from: int
) -> Codec[GrpcCall]:
    """How one method is decoded and encoded.

    Args:
        signature: The operation's.
        decode: What a message holds: the inputs, or an item of a stream in.
        encode: The message of a result, or of an item of a stream out.
        compress_from: Bytes from which on a message is compressed.
    """

    async def document(call: GrpcCall) -> Any:
        return decode(await call.only())

    def encoded(call: GrpcCall, value: Any) -> bytes:
        message = encode(value)
        compress = call.compress
        if compress is None or len(message) < compress_from:
            return framed(message)
        return framed_compressed(compress(message))

    return Codec(
        document=document,
        incoming=None if signature.item is None else _incoming(signature.item, decode),
        encode=encoded,
        encode_item=encoded,
    )


def _incoming(
    item: TypeAdapter[Any], decode: Decode
) -> Callable[[GrpcCall], AsyncGenerator[Any, None]]:
    """The items of a stream in, each decoded when the handler asks for it."""
    validate = item.validator.validate_python

    async def incoming(call: GrpcCall) -> AsyncGenerator[Any, None]:
        # To a server a call that is answered is a conversation: its pauses are the caller's.
        await call.send_metadata()
        index = 0
        while (data := await call.message()) is not None:
            try:
                value = validate(decode(data))
            except ValidationError as error:
                raise Invalid.from_validation(error, str(index)) from None
            yield value
            index += 1

    return incoming
