"""Where an operation is found over HTTP, and where its inputs come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, Literal, Union, get_args, get_origin

from covet_http._annotation import agrees
from covet_http._forms._parts import Parts
from covet_http._forms._plan import fields_of_model, holds_files, plain
from covet_http._hosts import parse_host
from covet_http._location import check_location, fields_of
from covet_http._media import EVENT_STREAM, is_json, is_media_type
from covet_http._request import Request
from covet_http._results import HttpResult
from covet_http._route_rules import check_cache
from covet_http._template import BadTemplateError, Parameter, parse_template
from covet_kernel.contracts import Call, Effect, Operation, Record
from covet_operations import Input, Kind, Signature, TransportBinding, TransportResult

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
WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class Query:
    """``Annotated[int, Query()]``: this input comes from the query whatever the method.

    Args:
        name: The name in the query; the parameter's unless given.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Header:
    """``Annotated[str, Header("x-trace")]``: this input comes from a header.

    Args:
        name: The header; the parameter's name with dashes unless given.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Form:
    """``Annotated[Signup, Form()]``, ``Annotated[str, Form("e-mail")]``: this input comes from a form.

    Whether the form is urlencoded or multipart is the client's choice. Once one input comes from a
    form, or is an `Upload`, so do all that would otherwise come from a JSON body.

    Args:
        name: The field's name; the parameter's unless given. A model's fields have their own names.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name


class Placement(Record):
    """Where the inputs of one operation come from, by parameter name.

    Attributes:
        path: The position of the value among the path's.
        host: Those that are part of the host.
        query: The name in the query.
        headers: The name of the header.
        body: Those that the body holds.
        form: The names of their fields, if the body is a form; ``None`` if it is JSON.
    """

    path: dict[str, int]
    host: tuple[str, ...]
    query: dict[str, str]
    headers: dict[str, str]
    body: tuple[str, ...]
    form: dict[str, str] | None = None


class HttpBinding(TransportBinding):
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

    method: str
    path: str
    host: str = ""
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

    def check(self, operation: Operation) -> Iterable[str]:
        if self.method in _SAFE and operation.effect != "read":
            yield (
                f"{self.address} is {self.method}, which clients and caches repeat at will, but {operation.name}"
                f" is declared {operation.effect!r}; bind it to POST, or declare effect='read'"
            )
        try:
            parse_template(self.path)
            parse_host(self.host)
        except BadTemplateError as error:
            yield f"{self.address}: {error}"
        if self.status is not None and not 200 <= self.status <= 299:
            yield f"{self.address} has status {self.status}; a success is between 200 and 299"
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
        try:
            segments, labels = parse_template(self.path), parse_host(self.host)
        except BadTemplateError:
            return ()
        kinds = {each.name: each.kind for each in segments if isinstance(each, Parameter)}
        names = [*kinds, *(each.name for each in labels if isinstance(each, Parameter))]
        inputs = {given.name: given for given in signature.inputs}
        wrong = [
            f"the path {self.host}{self.path} names {name!r}, but the handler has no such parameter ("
            + (", ".join(inputs) or "it has none")
            + ")"
            for name in names
            if name not in inputs
        ]
        wrong += [
            f"the path parameter {name!r} has to be a single plain value"
            for name in names
            if name in inputs and (inputs[name].many or _is_model(inputs[name].type))
        ]
        wrong += [
            f"the path says that {name!r} is {kind}, but the handler takes another type"
            for name, kind in kinds.items()
            if kind and name in inputs and not agrees(kind, inputs[name].type)
        ]
        if len(set(names)) < len(names):
            wrong.append(f"{self.address} has one name in its host and in its path")
        place = self.place(signature)
        wrong += [
            f"{name!r} is a model, and {self._textual(signature)}; take its fields as parameters"
            for name in (*place.query, *place.headers)
            if _is_model(inputs[name].type)
        ]
        for name, header in place.headers.items():
            if not _HEADER_NAME.match(header):
                wrong.append(f"{name!r} comes from {header!r}, which is no header name")
        if place.form is not None:
            wrong += self._check_form(signature, place.form)
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

    def _check_form(self, signature: Signature, form: dict[str, str]) -> list[str]:
        if self._bodiless(signature):
            if self.method in WITHOUT_BODY:
                return [f"{self.method} has no form; use POST"]
            return ["a handler that reads the body as it arrives cannot take it as a form too"]
        given = [each for each in signature.inputs if each.name in form]
        wrong = [
            f"{each.name!r} is a model in a form, which is flat; take one model, without a default,"
            " whose fields are called otherwise than the other inputs"
            for each in given
            if _is_model(plain(each.type)) and not each.spread
        ]
        names = [form[each.name] for each in given if not each.spread]
        for each in given:
            if each.spread:
                names += {name for name, _ in fields_of_model(each.type)}
        twice = sorted({name for name in names if names.count(name) > 1})
        return wrong + [f"two inputs are called {name!r} in the form" for name in twice]

    def _textual(self, signature: Signature) -> str:
        if self._bodiless(signature):
            return f"{self.method} has no body to take it from"
        return "neither the query nor a header can carry one"

    def _bodiless(self, signature: Signature) -> bool:
        return (
            self.method in WITHOUT_BODY
            or signature.kind == "client_stream"
            or any(
                each.source == "provider" and each.key.type is Parts for each in signature.injected
            )
        )

    @property
    def parameters(self) -> tuple[str, ...]:
        """The path's parameters in order."""
        return tuple(
            segment.name for segment in parse_template(self.path) if isinstance(segment, Parameter)
        )

    def place(self, signature: Signature) -> Placement:
        """Where each input comes from.

        A name in the path or host comes from there, a marker decides next; of the others, all come
        from the query if the request has no body of its own (GET, DELETE, a stream in, `Parts`), else
        from the body.
        """
        known: tuple[Signature, Placement] | None = getattr(self, "_placed", None)
        if known is None or known[0] is not signature:
            known = signature, self._place(signature)
            # Asked for several times while a phase begins; a record cannot be assigned to.
            object.__setattr__(self, "_placed", known)
        return known[1]

    def _place(self, signature: Signature) -> Placement:
        path = {name: index for index, name in enumerate(self.parameters)}
        host = tuple(each.name for each in parse_host(self.host) if isinstance(each, Parameter))
        query: dict[str, str] = {}
        headers: dict[str, str] = {}
        body: list[str] = []
        form: dict[str, str] = {}
        takes_form = False
        for given in signature.inputs:
            if given.name in path or given.name in host:
                continue
            marker = _marker(given)
            if isinstance(marker, Header):
                headers[given.name] = (marker.name or given.name.replace("_", "-")).lower()
            elif isinstance(marker, Query):
                query[given.name] = marker.name or given.name
            elif isinstance(marker, Form) or _has_files(given.type):
                takes_form = True
                body.append(given.name)
                form[given.name] = (marker.name if marker else "") or given.name
            elif self._bodiless(signature):
                query[given.name] = given.name
            else:
                body.append(given.name)
                form[given.name] = given.name
        return Placement(
            path=path,
            host=host,
            query=query,
            headers=headers,
            body=tuple(body),
            form=form if takes_form else None,
        )


def _has_files(annotation: Any) -> bool:
    return holds_files(annotation) or (
        _is_model(annotation) and any(holds_files(each) for _, each in fields_of_model(annotation))
    )


def _is_model(annotation: Any) -> bool:
    return fields_of(getattr(annotation, "__origin__", annotation)) is not None


def is_text_or_bytes(annotation: Any) -> bool:
    """Whether every value of a type is ``str`` or ``bytes``, or there is none at all."""
    if get_origin(annotation) is Annotated:
        return is_text_or_bytes(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return all(map(is_text_or_bytes, get_args(annotation)))
    return annotation in (None, NoneType) or (
        isinstance(annotation, type) and issubclass(annotation, str | bytes | bytearray)
    )


def _marker(given: Input) -> Query | Header | Form | None:
    for each in given.metadata:
        if isinstance(each, Query | Header | Form):
            return each
        if each is Query or each is Header or each is Form:
            marker: Query | Header | Form = each()
            return marker
    return None
