"""The request: the call as HTTP sees it. One object per request."""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

import anyio

from covet_http._certificate import ClientCertificate
from covet_http._forms._limits import FormLimits
from covet_http._problem import BodyTimeout, Malformed
from covet_http._response import ResponseHead
from covet_http._rules._proxies import Caller, Proxies
from covet_http._target import BadTargetError, Query, parse_query
from covet_kernel.contracts import Binding, Call, Credentials, Operation
from covet_operations import TooLarge, Unsupported, wait_disconnected

if TYPE_CHECKING:
    from covet_http._file import FileContent

JSON = "application/json"
NDJSON = "application/x-ndjson"


class Request(Call):
    """An HTTP request. Headers and query are parsed when first asked for.

    A server's own request subclasses it and supplies `read` and `send`.

    Attributes:
        method: In upper case.
        path: As it was sent, without the query, percent-encoded.
        path_values: The decoded values of the template's parameters, in their order.
        query_string: As it was sent, without the question mark.
        raw_headers: Name (lower case) and value pairs as they came.
        client: Address of the peer, which may be a proxy (see `caller`); ``None`` if unknown.
        secure: Whether the connection itself is encrypted.
        limits: What the request may cost.
        streaming: Whether a streamed answer has begun.
        kept_alive: Whether the server puts comments into it by itself, so that it cannot be recoded.
        head_only: Whether the client wants no body: the method is HEAD.
        content: The file that is sent, if it is one that is not held in memory.
    """

    __slots__ = (
        "_headers", "_query", "_response", "client", "limits", "method", "path", "path_values",
        "query_string", "raw_headers", "secure", "streaming",
    )  # fmt: skip

    kept_alive: ClassVar[bool] = False

    method: str
    path: str
    path_values: Sequence[str]
    query_string: bytes
    raw_headers: Sequence[tuple[bytes, bytes]]
    client: str | None
    secure: bool
    limits: Limits
    head_only: bool
    content: FileContent | None = None

    def __init__(self, operation: Operation, binding: Binding) -> None:
        super().__init__(operation, binding)
        self._headers: dict[str, str] | None = None
        self._query: Query | None = None
        self._response: ResponseHead | None = None
        self.secure = False
        self.streaming = False

    @property
    def response(self) -> ResponseHead:
        """Status and headers of the answer, where the route's own are not enough."""
        response = self._response
        if response is None:
            response = self._response = ResponseHead()
        return response

    async def wait_disconnected(self) -> None:
        """Return when the client has left before its answer was complete.

        For operations with ``on_disconnect="notify"``; with ``"finish"`` it never returns.
        """
        await wait_disconnected(self)

    @property
    def caller(self) -> Caller:
        """Who asks, of whom and how, as far as the configured proxies can be believed."""
        scheme = "https" if self.secure else "http"
        return self.limits.proxies.caller(self.client, scheme, self.raw_headers)

    @property
    def headers(self) -> Mapping[str, str]:
        """Values by lower-case name; lines of one name are joined with a comma."""
        headers = self._headers
        if headers is None:
            headers = {}
            for raw_name, raw_value in self.raw_headers:
                name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            self._headers = headers
        return headers

    @property
    def query(self) -> Query:
        """Values by name: a string, or a list where the name came more than once.

        Raises:
            Malformed: The query cannot be decoded or has too many parameters.
        """
        query = self._query
        if query is None:
            try:
                query = parse_query(self.query_string, limit=self.limits.max_query_params)
            except BadTargetError as error:
                raise Malformed(f"the query has {error}") from None
            self._query = query
        return query

    def header(self, name: bytes) -> bytes | None:
        """The value of the only header line of this lower-case name; without parsing the others."""
        return find_header(self.raw_headers, name)

    def metadata(self, name: str) -> str | None:
        return self.headers.get(name)

    @property
    def certificate(self) -> ClientCertificate | None:
        """What the client has shown, where TLS asks for it and a server passes it on."""
        return None

    def credentials(self) -> Credentials | None:
        """From ``Authorization``, if there is exactly one; ``basic`` comes decoded.

        Without it the client's `certificate`, if it has shown one.
        """
        line = self.header(b"authorization")
        if line is None:
            return self.certificate
        scheme, _, value = line.decode("latin-1").partition(" ")
        scheme, value = scheme.lower(), value.strip()
        if scheme == "basic":
            try:
                value = b64decode(value, validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError):
                value = ""
        return Credentials(scheme=scheme, value=value)

    def unlimited(self) -> None:
        """The deadline counts no longer: what is left to be sent goes at the client's pace."""
        self.deadline = math.inf
        if self.scope is not None:
            self.scope.deadline = math.inf

    async def read(self) -> bytes:
        """The next piece of the body, empty at its end. Cancels the call if the client left before it."""
        raise NotImplementedError

    @property
    def buffered(self) -> bytes | None:
        """The whole body, where the server has it already and nobody need wait; `read` it otherwise."""
        return None

    def body_complete(self) -> None:
        """The whole body was read, though its end may not have been announced."""

    def declared_length(self) -> int | None:
        """``Content-Length``, ``None`` for a body of unknown length.

        Raises:
            Malformed: It is not a plain number.
        """
        declared = self.header(b"content-length")
        if declared is None:
            return None
        if not declared.isdigit() or len(declared) > 18:
            raise Malformed("Content-Length is not a number")
        return int(declared)

    def require_content(self, expected: str) -> None:
        """Refuse a body of another media type.

        A form or plain text can be sent by any web page to any site, with the user's cookies;
        JSON cannot without the site's consent. So nothing is guessed here.
        """
        line = self.header(b"content-type")
        given = line.decode("latin-1").partition(";")[0].strip().lower() if line is not None else ""
        if given == expected:
            return
        if expected == JSON and given.startswith("application/") and given.endswith("+json"):
            return
        raise Unsupported(f"the body has to be {expected}, and 'Content-Type' has to say so")

    def body_now(self) -> bytes | None:
        """The whole body if it is `buffered`.

        Raises:
            TooLarge: It is over ``max_body_bytes``.
        """
        body = self.buffered
        if body is not None and len(body) > self.limits.max_body_bytes:
            raise TooLarge(f"the body may have {self.limits.max_body_bytes} bytes")
        return body

    async def body_bytes(self) -> bytes:
        """The whole body.

        Raises:
            TooLarge: It is over ``max_body_bytes``, declared or found so while reading.
            BodyTimeout: The rest of it took longer than ``body_timeout``.
        """
        whole = self.body_now()
        if whole is not None:
            return whole
        limit = self.limits.max_body_bytes
        declared = self.declared_length()
        if declared is not None and declared > limit:
            raise TooLarge(f"the body may have {limit} bytes")
        first = await self.read()
        if not first:
            return first
        if len(first) > limit:
            raise TooLarge(f"the body may have {limit} bytes")
        if declared == len(first):
            self.body_complete()
            return first
        pieces = [first]
        size = len(first)
        with anyio.move_on_after(self.limits.body_timeout) as patience:
            while piece := await self.read():
                size += len(piece)
                if size > limit:
                    raise TooLarge(f"the body may have {limit} bytes")
                pieces.append(piece)
        if patience.cancelled_caught:
            raise BodyTimeout(f"the body has to arrive within {self.limits.body_timeout} seconds")
        if declared is not None and declared != size:
            raise Malformed("the body is not as long as Content-Length says")
        return b"".join(pieces)

    async def incoming(self) -> AsyncIterator[Any]:
        """The lines of a newline-delimited body, each limited to ``max_body_bytes``."""
        self.require_content(NDJSON)
        limit = self.limits.max_body_bytes
        rest = bytearray()
        while piece := await self.read():
            rest += piece
            start = 0
            while (end := rest.find(b"\n", start)) >= 0:
                if end - start > limit:
                    raise TooLarge(f"a line may have {limit} bytes")
                line = bytes(rest[start:end]).strip()
                if line:
                    yield line
                start = end + 1
            del rest[:start]
            if len(rest) > limit:
                raise TooLarge(f"a line may have {limit} bytes")
        if last := bytes(rest).strip():
            yield last


def find_header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the only header line of this lower-case name.

    Raises:
        Malformed: There are two.
    """
    found = None
    for key, value in headers:
        if key == name:
            if found is not None:
                raise Malformed(f"the header {name.decode('ascii')!r} comes twice")
            found = value
    return found


class Limits:
    """What a request may cost, and whom to believe about it; one object for all of a route."""

    __slots__ = ("body_timeout", "forms", "max_body_bytes", "max_query_params", "proxies")

    def __init__(
        self,
        *,
        max_body_bytes: int,
        max_query_params: int,
        body_timeout: float,
        proxies: Proxies | None = None,
        forms: FormLimits | None = None,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.body_timeout = body_timeout
        self.max_query_params = max_query_params
        self.proxies = proxies or Proxies()
        self.forms = forms or FormLimits()

    def with_body(self, size: int) -> Limits:
        """The same for a route whose request bodies, forms with files too, may have this many bytes."""
        limits = copy(self)
        limits.max_body_bytes = size
        most = max(size, self.forms.max_file_bytes)
        limits.forms = self.forms.model_copy(
            update={"max_form_bytes": size, "max_file_bytes": most}
        )
        return limits
