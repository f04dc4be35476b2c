"""Where an operation is found over HTTP, and where its inputs come from."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, Literal, Union, get_args, get_origin

from covet_http._location import check_location
from covet_http._media import EVENT_STREAM, is_json, is_media_type
from covet_http._placement import WITHOUT_BODY
from covet_http._problem import ERRORS, own_status
from covet_http._request import Request
from covet_http._results import HttpResult
from covet_http._route_rules import check_cache
from covet_http._routed import RoutedBinding
from covet_http._sources import misplaced_markers
from covet_kernel.contracts import Call, Effect, Operation
from covet_operations import Kind, Signature, TransportResult

EFFECTS: Final[dict[str, Effect]] = {
    "GET": "read",
    "HEAD": "read",
    "POST": "write",
    "PUT": "idempotent",
    "PATCH": "write",
    "DELETE": "idempotent",
    "OPTIONS": "read",
}
"""Every method there is, and what it implies."""
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


class HttpBinding(RoutedBinding):
    """One method and path.

    Attributes:
        method: In upper case.
        path: A template such as ``"/books/{id}"``; its names are parameters of the handler.
        host: The only host it is found at, such as ``"{tenant}.example.com"``; empty: every host.
        status: The status of success; ``None`` is 204 for a handler that returns nothing, else 200.
        location: A template over the result, such as ``"/orders/{id}"``, for ``Location``.
        versions: The range of versions it is in, such as ``"2-"``; empty: it has none.
        version: The one version this binding is for, made from the range when a phase begins.
        document_type: The media type of its JSON documents; empty: plain JSON.
        media_type: What the result is, if it is not plain JSON; ``str`` and ``bytes`` are sent as they
            are then, and results of other types need a type that is JSON (``application/hal+json``).
        stream: What a stream out is: ``"lines"`` of JSON, or server-sent ``"events"``.
        cache: The value of ``Cache-Control`` of its successes; empty: none is sent.
        etag: Whether answers to GET carry an entity tag; ``None``: as the configuration says.
        compress: Whether its answers may be compressed.
        max_body: Bytes a request body may have; ``None``: as the configuration says.
        idempotency: Whether it takes ``Idempotency-Key``: ``"optional"`` or ``"required"``.
    """

    __slots__ = ("_placed",)

    kinds: ClassVar[frozenset[Kind]] = frozenset({"unary", "server_stream", "client_stream"})
    call_type: ClassVar[type[Call]] = Request
    result_type: ClassVar[type[TransportResult] | None] = HttpResult
    has_document: ClassVar[bool] = True
    """Whether its answers are documents, which can be encoded in more than one way."""

    method: str
    status: int | None = None
    location: str | None = None
    versions: str = ""
    version: str = ""
    document_type: str = ""
    media_type: str = ""
    stream: Literal["lines", "events"] = "lines"
    cache: str = ""
    etag: bool | None = None
    compress: bool = True
    max_body: int | None = None
    idempotency: Literal["", "optional", "required"] = ""

    @property
    def request_method(self) -> str:
        return self.method

    def check(self, operation: Operation) -> Iterable[str]:
        if self.method in _SAFE and operation.effect != "read":
            yield (
                f"{self.address} is {self.method}, which clients and caches repeat at will, but {operation.name}"
                f" is declared {operation.effect!r}; bind it to POST, or declare effect='read'"
            )
        yield from self.check_template()
        if self.status is not None and not 200 <= self.status <= 299:
            yield f"{self.address} has status {self.status}; a success is between 200 and 299"
        for declared in operation.errors:
            own = own_status(declared)
            if own is not None and own not in ERRORS:
                yield f"{declared.__name__} has http_status {own}; an error's is between 400 and 599"
        if self.cache:
            yield from check_cache(self.address, self.cache)
        if self.max_body is not None and self.max_body < 0:
            yield f"{self.address} allows bodies of {self.max_body} bytes"
        if self.idempotency and self.method not in ("POST", "PATCH"):
            yield (
                f"{self.address} takes idempotency keys, which are for POST and PATCH: {self.method}"
                " may be repeated as it is"
            )

    def check_signature(self, signature: Signature) -> tuple[str, ...]:
        if any(self.check_template()):
            return ()
        wrong = [*self.check_names(signature), *misplaced_markers(signature)]
        wrong += self.check_places(self.place(signature))
        if signature.kind == "client_stream" and self.method in WITHOUT_BODY:
            wrong.append(f"{self.method} has no body to stream in; use POST")
        if self.location is not None:
            wrong += check_location(self.location, signature.output_type)
        if self.status in (204, 205) and signature.output_type is not None:
            wrong.append(f"status {self.status} has no body, but the handler returns one")
        if self.idempotency and signature.kind != "unary":
            wrong.append("only a whole answer to a whole request can be kept for repetitions")
        return (*wrong, *self._check_answer(signature))

    def _check_answer(self, signature: Signature) -> Iterable[str]:
        streams = signature.kind in ("server_stream", "bidi")
        for result in signature.results:
            if issubclass(result, HttpResult) and result.streamed != streams:
                where = (
                    "only in a stream: AsyncIterator" if result.streamed else "never in a stream"
                )
                yield f"{result.__name__} can be sent {where}"
        if self.stream not in ("lines", "events"):
            yield f"stream={self.stream!r} is neither 'lines' nor 'events'"
        if self.stream == "events":
            if not streams:
                yield "only a stream is sent as events, and the handler returns one value"
            if self.media_type:
                yield f"events are {EVENT_STREAM}, not {self.media_type}"
        if self.media_type:
            if not is_media_type(self.media_type):
                yield f"{self.media_type!r} is no media type"
            elif not is_json(self.media_type) and not is_text_or_bytes(signature.output_type):
                yield (
                    f"only str and bytes can be sent as {self.media_type}, and the handler returns"
                    f" {getattr(signature.output_type, '__name__', signature.output_type)}"
                )


def is_text_or_bytes(annotation: Any) -> bool:
    """Whether every value of a type is ``str`` or ``bytes``, or there is none at all."""
    if get_origin(annotation) is Annotated:
        return is_text_or_bytes(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return all(map(is_text_or_bytes, get_args(annotation)))
    return annotation in (None, NoneType) or (
        isinstance(annotation, type) and issubclass(annotation, str | bytes | bytearray)
    )
