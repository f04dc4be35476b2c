"""A codec that speaks an older version than its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from covet_http._binding import HttpBinding
from covet_http._encode import encoder, item_encoder
from covet_http._request import Request
from covet_http._versions._walk import FaultsError, Walk
from covet_operations import Codec, Invalid, Parsed, Signature


def upgraded(codec: Codec[Request], upgrade: Walk) -> Codec[Request]:
    """The codec with every document that comes in taken to the handler's version."""
    find = codec.document
    if find is None:
        return codec

    async def later(document: Awaitable[Any]) -> Any:
        return _converted(await document, upgrade, codec.location)

    def document(request: Request) -> Any:
        found = find(request)
        if isinstance(found, Awaitable):
            return later(found)
        return _converted(found, upgrade, codec.location)

    return codec.replaced(document=document)


def streamed(codec: Codec[Request], upgrade: Walk) -> Codec[Request]:
    """The codec with every item of a stream in taken to the handler's version."""
    decode = codec.decode_item

    def item(request: Request, given: Any) -> Any:
        raw = given if decode is None else decode(request, given)
        return _converted(raw, upgrade, ())

    return codec.replaced(decode_item=item)


def downgraded(
    codec: Codec[Request], downgrade: Walk, binding: HttpBinding, signature: Signature
) -> Codec[Request]:
    """The codec with every result, or every item of a stream out, taken to the client's version."""
    to_plain = signature.output.serializer.to_python

    def document(request: Request, value: Any) -> bytes:
        data = downgrade(to_plain(value, mode="json"))
        codec = request.codec
        return to_json(data, inf_nan_mode="null") if codec is None else codec.encode(data)

    if signature.kind in ("server_stream", "bidi"):
        return codec.replaced(encode_item=item_encoder(binding, signature, document))
    return codec.replaced(encode=encoder(binding, signature, document))


def _converted(document: Any, upgrade: Walk, location: tuple[str, ...]) -> Any:
    """The document in the handler's version, as JSON if it came so, to be validated as JSON is.

    What is no JSON stays as it is: the validator says what is wrong with it.
    """
    if document is None:
        return None
    parsed = isinstance(document, Parsed)
    if parsed:
        data: Any = document.value
        if not isinstance(data, dict | list):
            return document
    elif isinstance(document, Mapping):
        data = dict(document)
    else:
        try:
            data = from_json(bytes(document) if isinstance(document, memoryview) else document)
        except ValueError:
            return document
    try:
        data = upgrade(data)
        return Parsed(data) if parsed else to_json(data)
    except FaultsError as error:
        errors = [{**each, "loc": [*location, *each["loc"]]} for each in error.errors]
        raise Invalid("the input does not fit", errors=errors) from None
