"""Where the inputs of a route are found: the transport's half of the decode step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from covet_http._binding import HttpBinding, Placement
from covet_http._encode import encoder, item_encoder
from covet_http._file import File, deliver
from covet_http._forms._plan import FormPlan
from covet_http._hosts import host_matcher, host_name
from covet_http._problem import Malformed
from covet_http._request import JSON, Request
from covet_kernel.contracts import Operation
from covet_operations import Codec, Signature

Text = Callable[[Request], Any]


def codec_for(operation: Operation, signature: Signature, binding: HttpBinding) -> Codec[Request]:
    """How one operation is decoded at one route; made once, when a phase begins."""
    place = binding.place(signature)
    many = {given.name for given in signature.inputs if given.many}
    read, release = _body(signature, place)
    text: dict[str, Text] = {name: _from_path(index) for name, index in place.path.items()}
    text |= {name: _from_host(binding.host, name) for name in place.host}
    text |= {name: _from_query(key, name in many) for name, key in place.query.items()}
    text |= {name: _from_header(key) for name, key in place.headers.items()}
    return Codec(
        text=text,
        document=read,
        release=release,
        location=("body",),
        text_location={
            **dict.fromkeys(place.path, "path"),
            **dict.fromkeys(place.host, "host"),
            **dict.fromkeys(place.query, "query"),
            **dict.fromkeys(place.headers, "header"),
        },
        encode=encoder(binding, signature),
        encode_item=item_encoder(binding, signature),
        enough=_is_head if binding.method in ("GET", "HEAD") else None,
        deliver=deliver if any(issubclass(each, File) for each in signature.results) else None,
    )


def _body(signature: Signature, place: Placement) -> tuple[Any, Any]:
    """What reads the body, and what lets go of it when the call ends, if anything has to."""
    if not place.body:
        return None, None
    inputs = [each for each in signature.inputs if each.name in place.body]
    required = any(each.required for each in inputs)
    if place.form is None:
        return (_required_body if required else _optional_body), None
    # Whoever has no forms need not load what reads them.
    from covet_http._forms._reader import form_document, release

    plan = FormPlan(inputs, place.form)
    return form_document(plan, required=required), release if plan.files else None


def _is_head(request: Request) -> bool:
    return request.head_only


def _from_path(index: int) -> Text:
    return lambda request: request.path_values[index]


def _from_host(template: str, name: str) -> Text:
    match = host_matcher(template)

    def find(request: Request) -> Any:
        found = match(host_name(request.header(b"host")))
        return found[name].decode("ascii") if found else None

    return find


def _from_query(name: str, many: bool) -> Text:
    if many:
        return lambda request: request.query.get(name)

    def find(request: Request) -> Any:
        query = request._query
        value = (request.query if query is None else query).get(name)
        if type(value) is list:
            # Which of two values counts is what proxies and services disagree about.
            raise Malformed(f"the query parameter {name!r} comes more than once")
        return value

    return find


def _from_header(name: str) -> Text:
    key = name.encode("ascii")

    def find(request: Request) -> Any:
        value = request.header(key)
        return None if value is None else value.decode("latin-1")

    return find


def _required_body(request: Request) -> bytes | Awaitable[bytes]:
    request.require_content(JSON)
    body = request.body_now()
    return request.body_bytes() if body is None else body


def _optional_body(request: Request) -> bytes | Mapping[str, Any] | Awaitable[Any]:
    body = request.body_now()
    return _read_optional(request) if body is None else _unless_empty(request, body)


async def _read_optional(request: Request) -> bytes | Mapping[str, Any]:
    return _unless_empty(request, await request.body_bytes())


def _unless_empty(request: Request, body: bytes) -> bytes | Mapping[str, Any]:
    if not body:
        return {}
    request.require_content(JSON)
    return body
