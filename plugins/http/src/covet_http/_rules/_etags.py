"""Entity tags for what handlers return, so that clients who have it already get 304."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from covet_http._binding import HttpBinding
from covet_http._problem import Malformed
from covet_http._request import Request
from covet_kernel.contracts import Binding, Call, Layer, Operation, Phase
from covet_operations import PreconditionFailed

if TYPE_CHECKING:
    from covet_http._openapi._description import Description


class EntityTags:
    """Tags the encoded bodies of answers to GET, and compares the tags clients have (RFC 9110, 13).

    The handler runs all the same: what is saved is the way to the client.

    Args:
        always: Whether to do so where a route says nothing about it.
    """

    name = "http.etags"
    phase = Phase.OBSERVE
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __init__(self, always: bool) -> None:
        self._always = always

    def bind(self, operation: Operation, binding: Binding) -> Layer | None:
        if not isinstance(binding, HttpBinding) or binding.method not in ("GET", "HEAD"):
            return None
        if not (self._always if binding.etag is None else binding.etag):
            return None
        return Layer(after=_compare)

    def describe(self, description: Description) -> None:
        """Say so in the OpenAPI document."""
        if self.bind(description.operation, description.binding) is not None:
            description.header("ETag", {"type": "string"}, "Of this answer.", status=200)
            description.answer(304, "The client has this answer already.")
            description.error(PreconditionFailed)


def _compare(call: Call, result: object, error: BaseException | None) -> None:
    body = call.body
    if error is not None or not isinstance(call, Request) or not isinstance(body, bytes):
        return
    response = call.response
    if response.status not in (None, 200) or call.streaming:
        return
    tag = next((value for name, value in response.headers if name == b"etag"), b"")
    if not tag:
        tag = b'"%s"' % blake2b(body, digest_size=16).hexdigest().encode("ascii")
        response.headers.append((b"etag", tag))
    if not _is_conditional(call):
        return
    from covet_http._conditional import Validators, evaluate

    match evaluate(call.headers, Validators(tag.decode("latin-1"))):
        case "unmodified":
            response.status = 304
            call.body = b""
        case "failed":
            raise PreconditionFailed("it is not as the request expects it to be")


def _is_conditional(request: Request) -> bool:
    """Whether it is worth it to parse the headers: tags are all there is to compare."""
    try:
        return any(request.header(name) is not None for name in (b"if-none-match", b"if-match"))
    except Malformed:
        return True  # two lines of one list
