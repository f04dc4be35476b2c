"""How the results of a route become bytes: the transport's other half of the codec."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from covet_http._binding import HttpBinding
from covet_http._events import Event, encode_data
from covet_http._media import EVENT_STREAM, is_json, with_charset
from covet_http._request import Request
from covet_http._results import LaterResult, PlainResult
from covet_http._sources import JSON, NDJSON
from covet_operations import Signature

Encode: TypeAlias = Callable[[Request, Any], Any]
Form: TypeAlias = Literal["document", "raw", "lines", "events"]
"""What an answer is: one JSON value, bytes as they are, JSON values a line each, or events."""

_EMPTY: Final = 204


def form_of(binding: HttpBinding, signature: Signature) -> Form:
    """What the answers of a route are."""
    if signature.kind in ("server_stream", "bidi"):
        if binding.stream == "events" or any(issubclass(each, Event) for each in signature.results):
            return "events"
        return "raw" if _is_raw(binding) else "lines"
    return "raw" if _is_raw(binding) else "document"


def media_type_of(binding: HttpBinding, signature: Signature) -> str:
    """The ``Content-Type`` of a route's successes, unless a result or handler says another."""
    form = form_of(binding, signature)
    if form == "events":
        return EVENT_STREAM
    if binding.media_type:
        # Bytes are in whatever encoding they are.
        text = form == "raw" and signature.output_type is not bytes
        return with_charset(binding.media_type) if text else binding.media_type
    return NDJSON if form == "lines" else binding.document_type or JSON


def negotiable(signature: Signature, binding: HttpBinding) -> bool:
    """Whether the answer is a document whose encoding may be the client's to choose."""
    return (
        binding.has_document
        and form_of(binding, signature) == "document"
        and not binding.media_type
        and not binding.document_type
        and signature.kind in ("unary", "client_stream")
        and signature.output_type is not None
    )


def encoder(
    binding: HttpBinding, signature: Signature, document: Encode | None = None
) -> Encode | None:
    """Encodes the result of a call; ``None`` where that is plain JSON.

    Args:
        binding: The route.
        signature: Of its operation.
        document: Encodes a document, where that is not the JSON of the result's type.
    """
    plain = _plain_encoder(binding, signature, document)
    if not signature.results:
        return plain if document is not None or _is_raw(binding) else None
    if any(issubclass(each, LaterResult) for each in signature.results):
        return _with_later(_with_results(plain))
    return _with_results(plain)


def item_encoder(
    binding: HttpBinding, signature: Signature, document: Encode | None = None
) -> Encode:
    """Encodes one item of a stream out. The arguments are those of `encoder`."""
    encode = document or _document(signature)
    match form_of(binding, signature):
        case "events":
            fit = signature.fit

            def data(request: Request, value: Any) -> Any:
                return encode(request, value if fit is None else fit(value))

            def event(request: Request, item: Any) -> bytes:
                if isinstance(item, Event):
                    return item.encode(partial(data, request))
                return encode_data(encode(request, item))

            return event
        case "raw":
            return _raw
        case _:
            if document is None:
                to_json = signature.output.serializer.to_json
                return lambda request, item: to_json(item) + b"\n"
            return lambda request, item: document(request, item) + b"\n"


def _plain_encoder(binding: HttpBinding, signature: Signature, document: Encode | None) -> Encode:
    return _raw if _is_raw(binding) else document or _document(signature)


def _document(signature: Signature) -> Encode:
    to_json = signature.output.serializer.to_json
    return lambda request, value: to_json(value)


def _is_raw(binding: HttpBinding) -> bool:
    return bool(binding.media_type) and not is_json(binding.media_type)


def _raw(request: Request, value: Any) -> bytes:
    # Exactly a string, nearly always.
    if value.__class__ is str or isinstance(value, str):
        encoded: bytes = value.encode()
        return encoded
    return bytes(value)


def _with_results(plain: Encode) -> Encode:
    def encode(request: Request, value: Any) -> Any:
        if isinstance(value, PlainResult):
            return value.answer(request)
        if value is None:
            request.response.status = _EMPTY
            return b""
        return plain(request, value)

    return encode


def _with_later(others: Encode) -> Callable[[Request, Any], Awaitable[Any]]:
    async def encode(request: Request, value: Any) -> Any:
        if isinstance(value, LaterResult):
            return await value.answer(request)
        return others(request, value)

    return encode
