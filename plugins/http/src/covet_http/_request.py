"""The request: the call as HTTP sees it. One object per request."""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import anyio

from covet_http._certificate import ClientCertificate
from covet_http._coding import NONE, Codings, decoded, require_end
from covet_http._cookies import TooManyCookiesError, parse_cookies
from covet_http._forms._limits import FormLimits
from covet_http._problem import BodyTimeout, Malformed
from covet_http._response import ResponseHead
from covet_http._rules._proxies import Caller, Proxies
from covet_http._sources import JSON, NDJSON, fits
from covet_http._target import BadTargetError, Query, parse_query
from covet_kernel.contracts import Binding, Call, Credentials, Operation
from covet_operations import TooLarge, Unsupported, wait_disconnected

if TYPE_CHECKING:
    from covet_http._codecs import MediaCodec
    from covet_http._file import FileContent

_JSON = JSON.encode()
# What may stand around a value (RFC 9110, 5.6.3), and no other white space of Unicode.
_BLANKS = " \t"
# The same for JSON (RFC 8259, 2).
_BLANK_BYTES = b" \t\r\n"
_NO_COOKIES: Mapping[str, str] = MappingProxyType({})


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
        codec: What the answer is encoded with, ``None`` for JSON.
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
    # Defaults of the class, since few requests have either.
    codec: MediaCodec | None = None
    _cookies: Mapping[str, str] | None = None

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

    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookies by name, as they came; those that no browser would send are dropped.

        Raises:
            Malformed: There are more than ``max_cookies``.
        """
        cookies = self._cookies
        if cookies is None:
            lines = self.header_lines(b"cookie")
            cookies = _NO_COOKIES
            if lines:
                try:
                    cookies = parse_cookies(lines, limit=self.limits.max_cookies)
                except TooManyCookiesError as error:
                    raise Malformed(f"the request has {error}") from None
            self._cookies = cookies
        return cookies

    def ahead(self) -> Sequence[Any] | None:
        """What a server has read ahead of the inputs that `Route.ahead` names, ``None``: nothing.

        The absent ones first, a bit for each, then the value of each: an int, or bytes of UTF-8.
        """
        return None

    def header(self, name: bytes) -> bytes | None:
        """The value of the only header line of this lower-case name; without parsing the others."""
        return find_header(self.raw_headers, name)

    def header_lines(self, name: bytes) -> Sequence[bytes]:
        """The values of all header lines of this lower-case name."""
        return [value for key, value in self.raw_headers if key == name]

    def header_list(self, name: bytes) -> bytes:
        """The same as one line, for headers that are lists; empty if there is none (RFC 9110, 5.3)."""
        return b", ".join(self.header_lines(name))

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
        scheme, value = scheme.lower(), value.strip(_BLANKS)
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

    async def send_path(self, path: str) -> bool:
        """Have the server send a whole file as the body; ``False`` where it cannot, and nothing is sent."""
        return False

    async def send_span(self, file: BinaryIO, at: int, size: int) -> bool:
        """Have the server send a span of an open file; ``False`` where it cannot, and nothing is sent.

        Raises:
            EOFError: The file ends before the span does.
        """
        return False

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

    def media_type(self) -> str:
        """What ``Content-Type`` says, without parameters and in lower case; empty if there is none."""
        line = self.header(b"content-type")
        return (
            line.decode("latin-1").partition(";")[0].strip(_BLANKS).lower()
            if line is not None
            else ""
        )

    def require_content(self, *expected: str) -> None:
        """Refuse a body of another media type, or of a content coding that is not decoded here.

        A form or plain text can be sent by any web page to any site, with the user's cookies;
        JSON cannot without the site's consent. So nothing is guessed here.

        Args:
            expected: Media types or ranges, in lower case; JSON's also stands for those built on it.

        Raises:
            Unsupported: It is not among them.
        """
        line = coding = None
        for name, value in self.raw_headers:
            if name == b"content-type":
                if line is not None:
                    raise Malformed("the header 'content-type' comes twice")
                line = value
            elif name == b"content-encoding":
                coding = value
        if line == _JSON and coding is None and expected[0] == JSON:
            return
        given = (
            line.decode("latin-1").partition(";")[0].strip(_BLANKS).lower()
            if line is not None
            else ""
        )
        if not fits(given, expected):
            wanted = " or ".join(expected)
            raise Unsupported(f"the body has to be {wanted}, and 'Content-Type' has to say so")
        if coding is not None:
            self.require_coding()

    def require_coding(self) -> str:
        """The content coding of the body, empty if it has none.

        Raises:
            Unsupported: It is not among those that are decoded here, or there is more than one.
        """
        line = self.header(b"content-encoding")
        if line is None:
            return ""
        coding = line.decode("latin-1").strip(_BLANKS).lower()
        if coding in ("", "identity"):
            return ""
        known = self.limits.codings
        if coding in known:
            return coding
        accepted = ", ".join(known) or "identity"
        self.response.set("accept-encoding", accepted, always=True)  # RFC 9110, 15.5.16
        raise Unsupported(f"the body may be encoded with {accepted}, once")

    def body_now(self, limit: int | None = None) -> bytes | None:
        """The whole body if it is `buffered`; as it came, also if that is compressed.

        Args:
            limit: The most bytes it may have; ``max_body_bytes`` unless given.

        Raises:
            TooLarge: It has more.
        """
        body = self.buffered
        if body is not None:
            if limit is None:
                limit = self.limits.max_body_bytes
            if len(body) > limit:
                raise TooLarge(f"the body may have {limit} bytes")
        return body

    def body_soon(self, limit: int | None = None) -> bytes | Awaitable[bytes]:
        """The whole body as it came if it is there; otherwise what is to be awaited for it, at once.

        The arguments and errors are those of `body_bytes`.
        """
        body = self.body_now(limit)
        return self.raw_body(limit) if body is None else body

    def json_soon(self, limit: int | None = None) -> bytes | Awaitable[bytes]:
        """The same of a body that has to be JSON, and decoded if it came compressed.

        Raises:
            Unsupported: It is something else, or compressed in a way that is not decoded here.
        """
        self.require_content(JSON)
        if self.limits.codings and self.require_coding():
            return self.body_bytes(limit)
        return self.body_soon(limit)

    def body_bytes(self, limit: int | None = None) -> Coroutine[Any, Any, bytes]:
        """The whole body, decoded if it came compressed.

        Args:
            limit: The most bytes it may have, both as it came and decoded; ``max_body_bytes`` unless
                given.

        Raises:
            TooLarge: It has more, declared or found so while reading.
            BodyTimeout: The rest of it took longer than ``body_timeout``.
        """
        limits = self.limits
        if limit is None:
            limit = limits.max_body_bytes
        return self._decoded(limit) if limits.codings else self.raw_body(limit)

    async def _decoded(self, limit: int) -> bytes:
        coding = self.require_coding()
        body = await self.raw_body(limit)
        return decoded(self.limits.codings[coding](), body, limit) if coding else body

    async def raw_body(self, limit: int | None = None) -> bytes:
        """The whole body as it came, also if that is compressed.

        The arguments and errors are those of `body_bytes`.
        """
        if limit is None:
            limit = self.limits.max_body_bytes
        whole = self.body_now(limit)
        if whole is not None:
            return whole
        declared = self.declared_length()
        if declared is not None and declared > limit:
            raise TooLarge(f"the body may have {limit} bytes")
        return await self.rest_of_body(await self.read(), limit, declared)

    async def rest_of_body(self, first: bytes, limit: int, declared: int | None) -> bytes:
        """The whole body whose first piece was read."""
        if len(first) > limit:
            raise TooLarge(f"the body may have {limit} bytes")
        if first and declared == len(first):
            self.body_complete()
            return first
        # Not a list of pieces, which may be as small as a byte, and an object each.
        body = bytearray(first)
        if first:
            with anyio.move_on_after(self.limits.body_timeout) as patience:
                while piece := await self.read():
                    body += piece
                    if len(body) > limit:
                        raise TooLarge(f"the body may have {limit} bytes")
            if patience.cancelled_caught:
                within = f"within {self.limits.body_timeout} seconds"
                raise BodyTimeout(f"the body has to arrive {within}")
        if declared is not None and declared != len(body):
            raise Malformed("the body is not as long as Content-Length says")
        return bytes(body)

    async def body_pieces(self, limit: int | None = None) -> AsyncGenerator[bytes, None]:
        """The body as it arrives, decoded if it came compressed.

        Args:
            limit: The most bytes it may have decoded; none unless given.

        Raises:
            TooLarge: It has more, or decodes to more than ``max_expansion`` times what came.
            Malformed: It is not of its content coding.
        """
        coding = self.require_coding() if self.limits.codings else ""
        if not coding:
            size = 0
            while piece := await self.read():
                size += len(piece)
                if limit is not None and size > limit:
                    raise TooLarge(f"the body may have {limit} bytes")
                yield piece
            return
        decompressor = self.limits.codings[coding]()
        came = size = 0
        while piece := await self.read():
            came += len(piece)
            most = max(self.limits.max_body_bytes, came * self.limits.max_expansion)
            most = most if limit is None else min(most, limit)
            for part in decompressor.pieces(piece):
                size += len(part)
                if size > most:
                    raise TooLarge("the body is larger than it may be once it is decoded")
                yield part
        require_end(decompressor)

    async def incoming(self) -> AsyncIterator[Any]:
        """The lines of a newline-delimited body, each limited to ``max_body_bytes``."""
        self.require_content(NDJSON)
        limit = self.limits.max_body_bytes
        rest = bytearray()
        async with aclosing(self.body_pieces()) as pieces:
            async for piece in pieces:
                # Where the search begins, so that nothing is searched twice.
                start, fresh = 0, len(rest)
                rest += piece
                while (end := rest.find(b"\n", fresh)) >= 0:
                    if end - start > limit:
                        raise TooLarge(f"a line may have {limit} bytes")
                    line = bytes(rest[start:end]).strip(_BLANK_BYTES)
                    if line:
                        yield line
                    start = fresh = end + 1
                del rest[:start]
                if len(rest) > limit:
                    raise TooLarge(f"a line may have {limit} bytes")
        if last := bytes(rest).strip(_BLANK_BYTES):
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
    """What a request may cost, and whom to believe about it; one object for all of a route.

    Args:
        max_body_bytes: Of a whole body, as it came and decoded.
        max_query_params: Pairs in one query.
        body_timeout: Seconds for a whole body to arrive.
        max_cookies: Cookies in one request.
        max_expansion: How many times longer a stream may be once it is decoded.
        codings: The content codings that bodies may have.
        proxies: Whom to believe about who is behind them.
        forms: What a form may cost.
    """

    __slots__ = (
        "body_timeout", "codings", "forms", "max_body_bytes", "max_cookies", "max_expansion",
        "max_query_params", "proxies",
    )  # fmt: skip

    def __init__(
        self,
        *,
        max_body_bytes: int,
        max_query_params: int,
        body_timeout: float,
        max_cookies: int = 128,
        max_expansion: int = 100,
        codings: Codings = NONE,
        proxies: Proxies | None = None,
        forms: FormLimits | None = None,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.body_timeout = body_timeout
        self.max_query_params = max_query_params
        self.max_cookies = max_cookies
        self.max_expansion = max_expansion
        self.codings = codings
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
