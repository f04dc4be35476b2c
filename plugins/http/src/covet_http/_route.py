"""One route: an endpoint of the pipeline and how its results become answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from covet_http._binding import HttpBinding
from covet_http._encode import form_of, media_type_of
from covet_http._events import FAREWELL, HEADERS
from covet_http._links import has_links, link_line
from covet_http._location import compile_location
from covet_http._problem import CLIENT_CLOSED_REQUEST, CONTENT_TYPE, Headers, Problems, joined
from covet_http._request import Request
from covet_http._response import header_line
from covet_http._results import HttpResult
from covet_kernel.contracts import Operation
from covet_operations import Endpoint, OperationError

if TYPE_CHECKING:
    from covet_http._static import ServedFolder

Reply: TypeAlias = tuple[int, Headers, bytes]
"""Status, headers and body of an answer that is complete."""

_BODILESS = (204, 205, 304)
FOLDER: Final = "covet_http.static"
"""Key of an operation's ``extra``: the `ServedFolder` that it answers from."""


class StreamAbortedError(Exception):
    """A stream failed after its first item: the answer must not look complete.

    Attributes:
        status: What it would have been answered with before that; 499 if the client is gone. For
            access logs, since the head has said success.
    """

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.status = status


class Route:
    """What the router finds, whatever the server.

    Attributes:
        endpoint: The operation at this route, for servers that drive it themselves: what its
            coroutine leaves goes to `succeeded`, the error `Endpoint.failure` makes to `failed`.
        status: The status of success.
        streams: Whether the answer is a stream of items that goes through ``request.send``.
        events: Whether these are server-sent events, which are kept alive and may end at any time.
        varies: Whether a result may bring its own status, headers or way of being sent.
        plain: Whether a success is its body with a status and headers that are the same every time, but
            for the length; a request that has a ``_response`` says more.
        whole_body: Whether its handler can do nothing before the whole body is there, so that a server
            may wait a moment for it.
        ahead: How a server may read all inputs of a request before anybody asks for them (see
            `Request.ahead`); empty if it may not.
        constant: The headers of every success, without the length, if they are always the same; a
            request that has a ``_response`` says more.
        folder: Whose files are the answers, for servers that send files by themselves; ``None`` where the
            handler has to be asked.
        any_query: Whether it answers whatever the query says, if it does not ask for that.
    """

    __slots__ = (
        "_common", "_content_type", "_head", "_links", "_location", "_problems", "_success", "ahead",
        "any_query", "binding", "constant", "endpoint", "events", "folder", "operation", "plain", "status", "streams", "varies",
        "whole_body",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint[HttpBinding], problems: Problems) -> None:
        self.endpoint = endpoint
        self.operation: Operation = endpoint.operation
        self.binding = endpoint.binding
        self.streams = endpoint.kind in ("server_stream", "bidi")
        signature = endpoint.signature
        self.events = form_of(self.binding, signature) == "events"
        self.varies = bool(signature.results) and not self.streams
        empty = signature.output_type is None and not signature.results
        place = self.binding.place(signature)
        self.ahead = place.ahead
        self.whole_body = endpoint.kind == "unary" and bool(place.body)
        self.status = self.binding.status or (204 if empty else 200)
        self._problems = problems
        self._common = problems.common
        self._content_type = media_type_of(self.binding, signature).encode("ascii")
        self._success: Headers = [*(HEADERS if self.events else ()), *self._common]
        if self.binding.cache:
            said = [header_line("cache-control", self.binding.cache)]
            self._success = joined(self._success, said)
        template = self.binding.location
        self._location = compile_location(template) if template is not None else None
        self._links = has_links(self.binding.method, endpoint.signature.output_type)
        self._head: Headers = [*self._success]
        if self.status not in _BODILESS:
            self._head.insert(0, (b"content-type", self._content_type))
        varies = self.streams or self._links or self._location is not None
        self.constant = None if varies else self._head
        self.plain = not varies and not self.varies and self.status not in _BODILESS
        # Nothing of what `endpoint.alone` promises holds for those that look at answers.
        told = endpoint.alone and type(self) is Route
        self.folder: ServedFolder | None = self.operation.extra.get(FOLDER) if told else None
        self.any_query = True

    def succeeded(self, request: Request, body: Any) -> Reply:
        """The complete answer of a call that has returned; not for streams."""
        if self.plain and request._response is None:
            return self.status, [*self._head, (b"content-length", b"%d" % len(body))], body
        status, headers = self.head(request)
        if status in _BODILESS:
            body = b""
        else:
            headers.append((b"content-length", b"%d" % len(body)))
        if not isinstance(request.value, HttpResult):
            # There is no value where an interceptor has brought the whole answer.
            if request.value is not None:
                headers += self._located(request.value, headers)
            if self._links:
                headers += link_line(request)
        return status, headers, body

    def _located(self, value: Any, headers: Headers) -> Headers:
        """Where the result is, unless the answer says so already."""
        if self._location is None or any(name == b"location" for name, _ in headers):
            return []
        return [(b"location", self._location(value))]

    def head(self, request: Request) -> tuple[int, Headers]:
        """Status and headers of a success, but for what only the result can tell: how a stream begins."""
        said = request._response
        if said is None:
            return self.status, [*self._head]
        status = said.status or self.status
        headers = joined(self._success, [*said.headers, *said.always])
        if status not in _BODILESS:
            content_type = self._content_type if said.content_type is None else said.content_type
            if content_type:
                headers.append((b"content-type", content_type))
            if said.length is not None and request.streaming:
                headers.append((b"content-length", b"%d" % said.length))
        return status, headers

    def last_words(self, request: Request) -> bytes:
        """What a stream ends with that the handler has not ended itself."""
        return FAREWELL if self.events and request.cause == "shutdown" else b""

    def failed(self, request: Request, error: OperationError) -> Reply | None:
        """The answer of a call that has failed.

        ``None`` if the client is gone, and where a stream of events has to end because the service
        stops: that is a proper end, behind which clients reconnect. A refusal would keep them from it.

        Raises:
            StreamAbortedError: The stream had begun.
        """
        if self.events and request.cause == "shutdown":
            return None
        if request.streaming:
            gone = request.cause == "disconnect"
            status = CLIENT_CLOSED_REQUEST if gone else self._problems.of(error)[0]
            raise StreamAbortedError(str(error), status) from error
        if request.cause == "disconnect":
            return None
        said = request._response
        return self.refusal(error, said.always if said is not None else ())

    def refusal(self, error: OperationError, more: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
        """The answer that says what is wrong.

        Args:
            error: What is.
            more: Headers besides those that all such answers have.
        """
        status, headers, body = self._problems.of(error)
        return problem(status, joined(self._common, [*headers, *more]), body)


def problem(status: int, headers: Headers, body: bytes) -> Reply:
    """A problem document with the headers every one of them has."""
    return (
        status,
        [(b"content-type", CONTENT_TYPE), (b"content-length", b"%d" % len(body)), *headers],
        body,
    )
