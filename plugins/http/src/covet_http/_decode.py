"""Where the inputs of a route are found: the transport's half of the decode step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from covet_http._accept import split_list
from covet_http._binding import HttpBinding
from covet_http._codecs import Codecs
from covet_http._encode import encoder, item_encoder, negotiable
from covet_http._fields import Leaf, Spread, base_of
from covet_http._forms._plan import FormPlan
from covet_http._hosts import host_matcher, host_name
from covet_http._media import is_json
from covet_http._placement import Placement
from covet_http._problem import Malformed, Problems
from covet_http._request import Request
from covet_http._results import LaterResult, deliver
from covet_http._route import Route
from covet_http._sources import JSON, Body, Query, marker_of
from covet_kernel.contracts import Operation
from covet_operations import Codec, Endpoint, Input, Invalid, Parsed, Signature

if TYPE_CHECKING:
    from covet_http._websocket._binding import WebSocketBinding

Text: TypeAlias = Callable[[Request], Any]
Document: TypeAlias = "bytes | Mapping[str, Any] | Parsed | None"
Find: TypeAlias = "Callable[[Request], Document | Awaitable[Document]]"
Read: TypeAlias = Callable[[bytes], Document]
"""Makes a document of a body that is there."""
Settle: TypeAlias = Callable[[Request], Read]
"""Looks at what a request says of its body, and decides how to read it."""


MakesCodec: TypeAlias = Callable[[Operation, Signature, HttpBinding], Codec[Request]]
"""Says how an operation is decoded and encoded at one route."""
MakesRoute: TypeAlias = Callable[[Endpoint[HttpBinding], Problems], Route]
"""Makes the route of an endpoint."""

_VARY: Final = ((b"vary", b"accept"),)


class Decoding:
    """How requests are read in one serving phase.

    Args:
        codecs: JSON and others.
        compressed: Whether bodies may have a content coding.
        refuse_extra_query: Whether query parameters that nobody asks for are refused.
    """

    def __init__(
        self,
        codecs: Codecs | None = None,
        *,
        compressed: bool = False,
        refuse_extra_query: bool = False,
    ) -> None:
        self._codecs = codecs or Codecs()
        self._compressed = compressed
        self._refuse_extra_query = refuse_extra_query

    def codec(
        self, operation: Operation, signature: Signature, binding: HttpBinding
    ) -> Codec[Request]:
        """How one operation is decoded at one route; made once, when a phase begins."""
        place = binding.place(signature)
        text, where = _all_texts(signature, place, binding.host)
        document, release = self._document(signature, place)
        negotiates = self.negotiates(signature, binding)
        return Codec(
            text=text,
            text_location=where,
            ahead=bool(place.ahead),
            document=document,
            release=release,
            whole=place.body[0] if place.whole is not None and place.body else place.spread,
            check=self._check(place, self._codecs.choose if negotiates else None),
            location=("body",),
            incoming=_incoming(place),
            encode=encoder(
                binding, signature, self._codecs.encoder(signature) if negotiates else None
            ),
            encode_item=item_encoder(binding, signature),
            enough=_is_head if binding.method in ("GET", "HEAD") else None,
            deliver=_delivers(signature) if signature.results else None,
        )

    def handshake_codec(
        self, operation: Operation, signature: Signature, binding: WebSocketBinding
    ) -> Codec[Request]:
        """The same of a path of WebSockets, whose handshakes have no bodies and no answers."""
        place = binding.place(signature)
        text, where = _all_texts(signature, place, binding.host)
        return Codec(
            text=text,
            text_location=where,
            check=_refuse_others(place) if self._refuse_extra_query else None,
            encode=_nothing,
        )

    def route(self, make: MakesRoute, endpoint: Endpoint[HttpBinding], problems: Problems) -> Route:
        """The route of an endpoint, which says what its answers depend on."""
        negotiates = self.negotiates(endpoint.signature, endpoint.binding)
        made = make(endpoint, problems.extended(_VARY) if negotiates else problems)
        made.any_query = not self._refuse_extra_query
        return made

    def negotiates(self, signature: Signature, binding: HttpBinding) -> bool:
        """Whether the form of an operation's answer is the client's to choose."""
        return self._codecs.negotiate and negotiable(signature, binding)

    def _check(
        self, place: Placement, choose: Callable[[Request], None] | None
    ) -> Callable[[Request], None] | None:
        refuse = _refuse_others(place) if self._refuse_extra_query else None
        if refuse is None or choose is None:
            return refuse or choose

        def check(request: Request) -> None:
            choose(request)
            refuse(request)

        return check

    def _document(self, signature: Signature, place: Placement) -> tuple[Find | None, Any]:
        if not place.body:
            return None, None
        return (
            (self._body(signature, place), None) if place.form is None else _form(signature, place)
        )

    def _body(self, signature: Signature, place: Placement) -> Find:
        inputs = [given for given in signature.inputs if given.name in place.body]
        required = any(given.required for given in inputs)
        body = place.whole or Body(JSON)
        read = _as_json if place.whole is None else _reading(inputs[0], body)
        settle: Settle = _of(body, read)
        if body.media_types == (JSON,) and read is _as_json:
            if self._codecs.negotiate:
                settle = self._negotiated
            elif required:
                return _required_json(body.max_bytes)
        if not required:
            return _optional(settle, None if place.whole else {}, self._compressed, body.max_bytes)
        return _required(settle, self._compressed, body.max_bytes)

    def _negotiated(self, request: Request) -> Read:
        codec = self._codecs.reading(request)
        if codec is None:
            return _as_json
        return partial(self._codecs.decode, codec)


def _nothing(request: Request, result: None) -> bytes:
    return b""


def _delivers(signature: Signature) -> Any:
    """What sends the files and pieces that an operation returns, ``None`` if it returns none."""
    return deliver if any(issubclass(each, LaterResult) for each in signature.results) else None


def _form(signature: Signature, place: Placement) -> tuple[Any, Any]:
    """What reads a form, and what lets go of it when the call ends, if anything has to."""
    # Whoever has no forms need not load what reads them.
    from covet_http._forms._reader import form_document, release

    assert place.form is not None
    inputs = place.body_inputs(signature)
    plan = FormPlan(inputs, place.form)
    required = any(each.required for each in inputs)
    return form_document(plan, required=required), release if plan.files else None


def _required_json(limit: int | None) -> Find:
    # One Python call less than a lambda.
    return methodcaller("json_soon", limit)


def _required(settle: Settle, compressed: bool, limit: int | None) -> Find:
    async def later(body: Awaitable[bytes], read: Read) -> Document:
        return read(await body)

    def find(request: Request) -> Document | Awaitable[Document]:
        read = settle(request)
        if compressed and request.require_coding():
            return later(request.body_bytes(limit), read)
        body = request.body_soon(limit)
        return read(body) if isinstance(body, bytes) else later(body, read)

    return find


def _optional(settle: Settle, empty: Document, compressed: bool, limit: int | None) -> Find:
    async def later(request: Request) -> Document:
        body = await request.body_bytes(limit)
        return settle(request)(body) if body else empty

    def find(request: Request) -> Document | Awaitable[Document]:
        body = request.body_now(limit)
        if body is None or (compressed and request.require_coding()):
            return later(request)
        return settle(request)(body) if body else empty

    return find


def _of(body: Body, read: Read) -> Settle:
    types = body.media_types

    def settle(request: Request) -> Read:
        request.require_content(*types)
        return read

    return settle


def _reading(given: Input, body: Body) -> Read:
    """What makes the input's document of a body's bytes."""
    base = base_of(given.type)
    if base is bytes:
        return Parsed
    if base is str and not all(is_json(each) for each in body.media_types):
        return _as_text
    return _as_json


def _as_json(body: bytes) -> bytes:
    return body


def _as_text(body: bytes) -> Parsed:
    try:
        return Parsed(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Malformed("the body is no text in UTF-8") from None


def _incoming(place: Placement) -> Callable[[Request], AsyncIterator[bytes]] | None:
    body = place.whole
    if body is None or place.body:
        return None
    types, limit = body.media_types, body.max_bytes

    def pieces(request: Request) -> AsyncIterator[bytes]:
        request.require_content(*types)
        return request.body_pieces(limit)

    return pieces


def _is_head(request: Request) -> bool:
    return request.head_only


def _all_texts(
    signature: Signature, place: Placement, host: str
) -> tuple[dict[str, Text], dict[str, tuple[str, ...]]]:
    """The same, with what is part of the host.

    Args:
        signature: Has the inputs.
        place: Says where they are.
        host: Its template.
    """
    text, where = _texts(signature, place)
    for name in place.host:
        text[name], where[name] = _from_host(host, name), ("host", name)
    return text, where


def _texts(
    signature: Signature, place: Placement
) -> tuple[dict[str, Text], dict[str, tuple[str, ...]]]:
    """What finds each input that comes as text, and where faults in it are said to be."""
    inputs = {given.name: given for given in signature.inputs}
    text: dict[str, Text] = {}
    where: dict[str, tuple[str, ...]] = {}
    for name, index in place.path.items():
        text[name], where[name] = _from_path(index), ("path", name)
    for name, key in place.query.items():
        text[name], where[name] = _from_query(key, inputs[name].many), ("query", key)
    for name, key in place.headers.items():
        text[name] = _listed(key) if inputs[name].many else _from_header(key)
        where[name] = ("header", key)
    for name, key in place.cookies.items():
        text[name], where[name] = _from_cookie(key), ("cookie", key)
    taken = {*place.query.values(), *_leaves_of(place)}
    for name, (kind, model) in place.models.items():
        absent: dict[str, Any] | None = {} if inputs[name].required else None
        where[name] = (kind,)
        if kind == "query":
            prefix = _prefix(inputs[name])
            where[name] += (prefix,) if prefix else ()
            text[name] = _from_fields(model, prefix, frozenset(taken - {*model.leaves}), absent)
        else:
            finds = {leaf.path[0]: _single(kind, key, leaf) for key, leaf in model.leaves.items()}
            text[name] = _from_each(finds, absent)
    return text, where


def _leaves_of(place: Placement) -> Iterator[str]:
    for kind, model in place.models.values():
        if kind == "query":
            yield from model.leaves


def _prefix(given: Input) -> str:
    marker = marker_of(given.metadata)
    return marker.name if isinstance(marker, Query) else ""


def _single(kind: str, key: str, leaf: Leaf) -> Text:
    if kind == "cookie":
        return _from_cookie(key)
    return _listed(key) if leaf.many else _from_header(key)


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
            raise _twice(name)
        return value

    return find


def _twice(name: str) -> Malformed:
    # Which of two values counts is what proxies and services disagree about.
    return Malformed(f"the query parameter {name!r} comes more than once")


def _from_header(name: str) -> Text:
    key = name.encode("ascii")

    def find(request: Request) -> Any:
        value = request.header(key)
        return None if value is None else value.decode("latin-1")

    return find


def _listed(name: str) -> Text:
    key = name.encode("ascii")

    def find(request: Request) -> Any:
        lines = request.header_lines(key)
        return split_list(b",".join(lines).decode("latin-1")) if lines else None

    return find


def _from_cookie(name: str) -> Text:
    return lambda request: request.cookies.get(name)


def _from_each(finds: Mapping[str, Text], absent: Mapping[str, Any] | None) -> Text:
    """A model's fields, each where it is."""

    def find(request: Request) -> Any:
        values = {field: find(request) for field, find in finds.items()}
        return {field: value for field, value in values.items() if value is not None} or absent

    return find


def _from_fields(
    model: Spread, prefix: str, others: frozenset[str], absent: Mapping[str, Any] | None
) -> Text:
    """A model's fields out of the query.

    Args:
        model: The model taken apart.
        prefix: What stands in front of its fields' names.
        others: Names in the query that are not the model's to judge.
        absent: Stands for the model if none of it is there.
    """
    leaves, inside = model.leaves, model.inside
    front = f"{prefix}." if prefix else ""
    longest = max(map(len, inside), default=0)

    def find(request: Request) -> Any:
        found: dict[str, Any] = {}
        for name, value in request.query.items():
            leaf = leaves.get(name)
            if leaf is not None:
                if isinstance(value, list) and not leaf.many:
                    raise _twice(name)
                path, many = leaf.path, leaf.many
            elif name in others:
                continue
            elif name in inside or (prefix and name == prefix):
                raise Malformed(f"the query parameter {name!r} has fields: give '{name}.…' instead")
            elif not name.startswith(front):
                continue
            else:
                path, many = _unknown(name, front, inside, longest), False
            target = found
            for step in path[:-1]:
                target = target.setdefault(step, {})
            target[path[-1]] = [value] if many and isinstance(value, str) else value
        return found or absent

    return find


def _unknown(
    name: str, front: str, inside: Mapping[str, tuple[str, ...]], longest: int
) -> tuple[str, ...]:
    """Where a name that the model does not have is put, so that the model's own rule decides on it.

    Args:
        name: As it came, of any length.
        front: What stands in front of the model's names.
        inside: The places of the models within.
        longest: The length of the longest of their names.
    """
    end = longest + 1
    while (end := name.rfind(".", 0, end)) >= 0:
        place = inside.get(name[:end])
        if place is not None:
            return (*place, name[end + 1 :])
    return (name[len(front) :],)


def _refuse_others(place: Placement) -> Callable[[Request], None]:
    known = frozenset((*place.query.values(), *_leaves_of(place)))

    def refuse(request: Request) -> None:
        if request.query_string:
            wrong = [
                {
                    "loc": ["query", name],
                    "msg": "Extra inputs are not permitted",
                    "type": "extra_forbidden",
                }
                for name in request.query
                if name not in known
            ]
            if wrong:
                raise Invalid("the input does not fit", errors=wrong)

    return refuse
