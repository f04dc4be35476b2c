"""Idempotency keys: a request that is sent again gets the answer of the first one.

A client names an attempt in ``Idempotency-Key`` and repeats it under the same name. The first request
leaves a mark in the key-value store, runs, and leaves its answer there once everything is committed. A
repetition finds one or the other. What failed leaves nothing, so that it may be tried again.

If the process dies in between, the mark stays until its time is over, and then the request may run
again: whatever it committed before its death is committed twice, unless the data itself forbids that.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache, partial
from hashlib import blake2b
from os import urandom
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import anyio.lowlevel
from pydantic_core import from_json, to_json

from covet_http._binding import HttpBinding
from covet_http._location import compile_location
from covet_http._problem import Malformed
from covet_http._request import Request
from covet_http._results import HttpResult
from covet_kernel.contracts import Call, KeyValueStore, Layer, Next, StoreLimitError
from covet_operations import Conflict, Invalid

if TYPE_CHECKING:
    from covet_http._openapi._description import Description
    from covet_http._rules._keys import IdempotencyConfig

log = logging.getLogger("covet.http")

_HEADER: Final = b"idempotency-key"
_KEY = re.compile(rb'"?([!#-\[\]-~]{1,255})"?\Z')
_PREFIX: Final = "http.idempotency:"
_DIGEST: Final = 16
# What a value begins with: a request that runs, an answer, an answer that was not kept, nothing.
_RUNS: Final = b"r"
_ANSWER: Final = b"a"
_NOT_KEPT: Final = b"n"
_FREE: Final = b"f"
_TRIES: Final = 3
_GRACE: Final = 5.0

Location: TypeAlias = Callable[[Any], bytes] | None


class KeyReused(Invalid):
    """The idempotency key belongs to another request."""


class KeyInUse(Conflict):
    """The first request with this idempotency key is still running.

    Attributes:
        retry_after: Seconds after which it may have its answer.
    """

    retry_after: float = 1.0


class AnswerNotKept(Conflict):
    """The request was carried out, and its answer is not kept."""


def once(binding: HttpBinding, store: KeyValueStore, config: IdempotencyConfig) -> Layer:
    """Runs requests to one route once for each key of each principal.

    Args:
        binding: The route.
        store: Where answers are kept.
        config: Times and sizes.
    """
    required = binding.idempotency == "required"
    looks_at = cache(partial(_looked_at, binding))
    location = compile_location(binding.location) if binding.location is not None else None

    async def around(call: Call, next: Next) -> Any:
        if not isinstance(call, Request):
            return await next(call)
        given = call.header(_HEADER)
        if given is None:
            if required:
                raise Malformed("the request needs an 'Idempotency-Key'")
            return await next(call)
        key = _KEY.match(given)
        if key is None:
            raise Malformed("the idempotency key has to be 1 to 255 visible ASCII characters")
        attempt = _Attempt(config, store, location, _name(call, key[1]))
        return await attempt.run(call, next, await _fingerprint(call, *looks_at()))

    return Layer(around=around)


def describe(description: Description) -> None:
    """What the OpenAPI document says of a route that takes keys."""
    description.parameter(
        "Idempotency-Key",
        "header",
        {"type": "string", "pattern": r'^"?[!#-\[\]-~]{1,255}"?$'},
        required=description.binding.idempotency == "required",
        description="A name for this attempt; sent again with it, the request runs once.",
    )
    description.error(Malformed, KeyReused, KeyInUse, AnswerNotKept)
    meaning = "This answer was given before."
    description.header(
        "Idempotent-Replayed", {"type": "string"}, meaning, status=description.success
    )


class _Attempt:
    """One request with a key.

    Args:
        config: Times and sizes.
        store: Where answers are kept.
        location: Fills the route's ``Location`` from a result, ``None`` if it has none.
        name: Of the key in the store.
    """

    def __init__(
        self, config: IdempotencyConfig, store: KeyValueStore, location: Location, name: str
    ) -> None:
        self._config = config
        self._store = store
        self._location = location
        self._name = name

    async def run(self, request: Request, next: Next, fingerprint: bytes) -> Any:
        mark = _RUNS + fingerprint + urandom(8)
        found = await self._take(mark)
        if found:
            _replay(request, found, fingerprint)
            return request.value
        try:
            result = await next(request)
        except BaseException:
            with anyio.move_on_after(_GRACE, shield=True):
                await self._store.compare_and_set(self._name, mark, _FREE, ttl=1.0)
            raise
        # Everything is committed: nothing that happens now makes the answer another one.
        with anyio.move_on_after(_GRACE, shield=True) as patience:
            try:
                await self._keep(request, mark, fingerprint)
            except Exception:
                log.exception("the answer to a request with an idempotency key was not kept")
        if patience.cancelled_caught:
            log.error("the store did not keep an answer within %s s", _GRACE)
        return result

    async def _take(self, mark: bytes) -> bytes:
        """Leave the mark; what is there already otherwise.

        Raises:
            KeyInUse: It changes hands too quickly.
        """
        store, name, lock = self._store, self._name, self._config.lock
        for _ in range(_TRIES):
            if await store.set(name, mark, ttl=lock, only_if_absent=True):
                return b""
            found = await store.get(name)
            if found == _FREE:
                if await store.compare_and_set(name, _FREE, mark, ttl=lock):
                    return b""
            elif found:
                return found
        raise KeyInUse("send the request again")

    async def _keep(self, request: Request, mark: bytes, fingerprint: bytes) -> None:
        record = self._record(request, fingerprint)
        name, ttl = self._name, self._config.ttl
        try:
            kept = await self._store.compare_and_set(name, mark, record, ttl=ttl)
        except StoreLimitError:
            record = _NOT_KEPT + fingerprint
            kept = await self._store.compare_and_set(name, mark, record, ttl=ttl)
        if not kept:
            log.error(
                "%s took longer than plugins.http.idempotency.lock: its key was taken by another",
                request.operation.name,
            )

    def _record(self, request: Request, fingerprint: bytes) -> bytes:
        body, said = request.body, request._response
        if not isinstance(body, bytes) or len(body) > self._config.max_answer_bytes:
            return _NOT_KEPT + fingerprint
        headers = [] if said is None else [*said.headers]
        if (
            self._location is not None
            and not isinstance(request.value, HttpResult | None)
            and all(name != b"location" for name, _ in headers)
        ):
            headers.append((b"location", self._location(request.value)))
        head = {
            "status": None if said is None else said.status,
            "type": None if said is None or said.content_type is None else _text(said.content_type),
            "headers": [(_text(name), _text(value)) for name, value in headers],
        }
        return b"%b%b%b\n%b" % (_ANSWER, fingerprint, to_json(head), body)


def _replay(request: Request, found: bytes, fingerprint: bytes) -> None:
    """Answer as before.

    Raises:
        KeyReused: The key belongs to another request.
        KeyInUse: There is no answer yet.
        AnswerNotKept: There was one.
    """
    kind, whose, rest = found[:1], found[1 : 1 + _DIGEST], found[1 + _DIGEST :]
    if whose != fingerprint:
        raise KeyReused("use another key for another request")
    if kind == _RUNS:
        raise KeyInUse("the first request with this key has no answer yet")
    if kind != _ANSWER:
        raise AnswerNotKept("it was too large to be kept for repetitions")
    text, _, body = rest.partition(b"\n")
    head = from_json(text)
    response = request.response
    response.status = head["status"]
    if head["type"] is not None:
        response.content_type = head["type"].encode("latin-1")
    response.headers += [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in head["headers"]
    ]
    response.headers.append((b"idempotent-replayed", b"true"))
    request.body = body


def _name(request: Request, key: bytes) -> str:
    """Of the key in the store: nobody finds the answers of another principal or operation."""
    principal = request.principal
    whose = ["", ""] if principal is None else [principal.issuer, principal.id]
    parts = [*whose, request.operation.name, _text(key)]
    return _PREFIX + blake2b(to_json(parts), digest_size=32).hexdigest()


def _looked_at(binding: HttpBinding) -> tuple[list[bytes], list[str]]:
    """The headers and cookies that are inputs of an operation."""
    placed = binding.placed
    assert placed is not None
    headers, cookies = set(placed.headers.values()), set(placed.cookies.values())
    for where, model in placed.models.values():
        if where != "query":
            (headers if where == "header" else cookies).update(model.leaves)
    if binding.host:
        headers.add("host")
    return sorted(each.encode("ascii") for each in headers), sorted(cookies)


async def _fingerprint(request: Request, headers: list[bytes], cookies: list[str]) -> bytes:
    """What makes a request the same one: everything the operation is declared to depend on.

    Args:
        request: The request.
        headers: Those that count, besides the ones that say what the body is.
        cookies: Those that count.
    """
    body = request.body_now()
    if body is None:
        body = await request.raw_body()
        _put_back(request, body)
    parts = [
        request.method.encode("ascii"),
        request.path.encode("ascii"),
        request.query_string,
        request.header(b"content-encoding") or b"",
        *_content(request.header(b"content-type") or b"", body),
    ]
    parts += [request.header_list(each) for each in headers]
    parts += [request.cookies.get(each, "").encode("latin-1") for each in cookies]
    version = request.binding.version if isinstance(request.binding, HttpBinding) else ""
    if version:
        parts.append(version.encode("utf-8"))
    made = blake2b(digest_size=_DIGEST)
    for part in parts:
        made.update(b"%d:" % len(part))
        made.update(part)
    return made.digest()


def _content(content_type: bytes, body: bytes) -> list[bytes]:
    """What a body is and holds. Clients make up the boundary of a form anew each time they send it."""
    if content_type[:9].lower() != b"multipart":
        return [content_type, body]
    # Whoever has no forms need not load what reads them.
    from covet_http._forms._parameters import split_parameters

    try:
        kind, parameters = split_parameters(_text(content_type))
    except Malformed:
        return [content_type, body]
    boundary = parameters.pop("boundary", "")
    if not boundary:
        return [content_type, body]
    pieces = body.split(b"--" + boundary.encode("latin-1"))
    return [to_json([kind, sorted(parameters.items()), len(pieces)]), *pieces]


def _put_back(request: Request, body: bytes) -> None:
    """Let a body be read once more."""
    pieces = [body]

    async def read() -> bytes:
        await anyio.lowlevel.checkpoint()
        return pieces.pop() if pieces else b""

    request.read = read  # type: ignore[method-assign]


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")
