"""A request by ASGI: it keeps what the server gave and looks into it when it is asked."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping, Sequence
from time import monotonic
from types import CoroutineType
from typing import Any, BinaryIO, ClassVar

import anyio
import anyio.lowlevel

from covet_http._certificate import CERTIFICATE, ClientCertificate
from covet_http._event_streams import EventStreams
from covet_http._placement import WITHOUT_BODY
from covet_http._request import Limits, Request, find_header
from covet_http._response import ResponseHead
from covet_http._route import Route
from covet_http._server import Message, Receive, Scope, Send
from covet_http._sources import JSON
from covet_http._target import Query
from covet_operations import Suspended, TooLarge

_PATHSEND = "http.response.pathsend"
_ZEROCOPYSEND = "http.response.zerocopysend"
_JSON = JSON.encode()


class AsgiRequest(Request):
    """A request that reads and writes ASGI messages.

    The classes of routes derive from it and fill in what is the same for all of theirs.

    Attributes:
        head: The headers of a success without its length, if they and the status are the route's;
            ``None``: the route has to be asked.
        route: The route.
        status: The status of its successes.
        timeout: Seconds a call may take.
        arrived: When it was made, on `monotonic`'s clock.
        send_message: ASGI's ``send``.
    """

    # What most requests have is in slots: the first thing kept in its dictionary costs as much as
    # all of them.
    __slots__ = (
        "_ended", "_lines", "_receive", "_scope", "args", "arrived", "body", "send_message", "value",
    )  # fmt: skip

    head: ClassVar[Sequence[tuple[bytes, bytes]] | None]
    route: ClassVar[Route]
    status: ClassVar[int]
    timeout: ClassVar[float]

    # What most requests never touch, so that making one stores next to nothing.
    streaming = False
    _headers: dict[str, str] | None = None
    _response: ResponseHead | None = None
    _deadline: float | None = None
    _waiting: anyio.Event | None = None
    # Whether the server itself sends the body, so that nothing follows.
    _handed_over = False

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, path: str, values: Sequence[str]
    ) -> None:
        self._scope = scope
        self._receive = receive
        self.send_message = send
        self.path = path
        self.path_values = values
        self.arrived = monotonic()
        self.args: dict[str, Any] | None = None
        self.value: Any = None
        self.body: Any = None
        self._query: Query | None = None
        self._lines: dict[bytes, bytes] | None = None
        self._ended = False

    @property
    def method(self) -> str:  # type: ignore[override]
        method: str = self._scope["method"]
        return method

    @property
    def head_only(self) -> bool:  # type: ignore[override]
        return bool(self._scope["method"] == "HEAD")

    @property
    def query_string(self) -> bytes:  # type: ignore[override]
        query: bytes = self._scope["query_string"]
        return query

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:  # type: ignore[override]
        headers: Sequence[tuple[bytes, bytes]] = self._scope["headers"]
        return headers

    @property
    def client(self) -> str | None:  # type: ignore[override]
        client = self._scope.get("client")
        return client[0] if client else None

    @property
    def secure(self) -> bool:  # type: ignore[override]
        return bool(self._scope.get("scheme") == "https")

    @property
    def extensions(self) -> Mapping[str, Any]:
        """What the server can do besides."""
        return self._scope.get("extensions") or {}

    @property
    def certificate(self) -> ClientCertificate | None:
        return self.extensions.get(CERTIFICATE)

    @property
    def deadline(self) -> float:
        """Counted from when the request was made, though nobody looks at the clock unless asked."""
        deadline = self._deadline
        if deadline is None:
            deadline = math.inf
            if self.timeout != math.inf:
                deadline = anyio.current_time() - (monotonic() - self.arrived) + self.timeout
            self._deadline = deadline
        return deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = value

    def header(self, name: bytes) -> bytes | None:
        headers = self._scope["headers"]
        lines = self._lines
        if lines is None:
            lines = self._lines = dict(headers)
        value = lines.get(name)
        if value is None or len(lines) == len(headers):
            return value
        # Some name comes twice, perhaps this one.
        return find_header(headers, name)

    def json_soon(self, limit: int | None = None) -> bytes | Awaitable[bytes]:
        headers = self._scope["headers"]
        lines = self._lines
        if lines is None:
            lines = self._lines = dict(headers)
        if (
            lines.get(b"content-type") != _JSON
            or b"content-encoding" in lines
            or len(lines) < len(headers)
        ):
            return super().json_soon(limit)
        length = lines.get(b"content-length")
        if length is not None and length.isdigit() and len(length) < 10:
            # The same as `declared_length`, where there is nothing to refuse.
            return self._soon(limit, int(length))
        return self._soon(limit, self.declared_length())

    def body_soon(self, limit: int | None = None) -> bytes | Awaitable[bytes]:
        return self._soon(limit, self.declared_length())

    def _soon(self, limit: int | None, declared: int | None) -> bytes | Awaitable[bytes]:
        if self._ended:
            # Somebody has read it before, and may have put it back.
            return self.raw_body(limit)
        if limit is None:
            limit = self.limits.max_body_bytes
        if declared is not None and declared > limit:
            raise TooLarge(f"the body may have {limit} bytes")
        # Most bodies are there with their request, and then nobody has to wait, or to be ready to.
        receiving = self._receive()
        if receiving.__class__ is not CoroutineType:
            return self._awaited_body(receiving, limit, declared)
        try:
            trap = receiving.send(None)
        except StopIteration as stop:
            message: Message = stop.value
        else:
            return self._awaited_body(Suspended(receiving, None, trap), limit, declared)
        if message["type"] != "http.disconnect" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) == declared or (declared is None and len(body) <= limit):
                self._ended = True
                if self._waiting is not None:
                    self._waiting.set()
                return body
        return self._rest(message, limit, declared)

    async def _awaited_body(
        self, receiving: Awaitable[Message], limit: int, declared: int | None
    ) -> bytes:
        return await self._rest(await receiving, limit, declared)

    async def _rest(self, message: Message, limit: int, declared: int | None) -> bytes:
        """The whole body that begins with a message."""
        first = await self._piece(message)
        return await self.rest_of_body(first or await self.read(), limit, declared)

    async def read(self) -> bytes:
        while not self._ended:
            if body := await self._piece(await self._receive()):
                return body
        return b""

    async def _piece(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            self.disconnected = True
            # Without its body no policy could finish the call.
            self.cancel("disconnect")
            await anyio.lowlevel.checkpoint()
            return b""
        if not message.get("more_body", False):
            self.body_complete()
        body: bytes = message.get("body", b"")
        return body

    def body_complete(self) -> None:
        self._ended = True
        if self._waiting is not None:
            self._waiting.set()

    async def send(self, item: Any) -> None:
        if not self.streaming:
            await self._begin()
        if not self.head_only:
            await self.send_message({"type": "http.response.body", "body": item, "more_body": True})

    async def end(self, last: bytes = b"") -> None:
        """The stream is complete with these bytes."""
        if self._handed_over:
            return
        if not self.streaming:
            await self._begin()
        await self.send_message(
            {"type": "http.response.body", "body": b"" if self.head_only else last}
        )

    async def send_path(self, path: str) -> bool:
        if _PATHSEND not in self.extensions:
            return False
        await self._begin()
        self._handed_over = True
        await self.send_message({"type": _PATHSEND, "path": path})
        return True

    async def send_span(self, file: BinaryIO, at: int, size: int) -> bool:
        if _ZEROCOPYSEND not in self.extensions:
            return False
        if not self.streaming:
            await self._begin()
        await self.send_message(
            {"type": _ZEROCOPYSEND, "file": file, "offset": at, "count": size, "more_body": True}
        )
        return True

    async def _begin(self) -> None:
        self.streaming = True
        status, headers = self.route.head(self)
        await self.send_message(
            {"type": "http.response.start", "status": status, "headers": headers}
        )

    def disconnect(self) -> None:
        """The client is gone."""
        self.route.endpoint.disconnect(self)

    async def watch(self) -> None:
        """Return when the client is gone. Leaves the body to `read`."""
        if not self._ended and self.method not in WITHOUT_BODY:
            self._waiting = anyio.Event()
            await self._waiting.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


class AsgiEvents(AsgiRequest):
    """A request whose answer is a stream of events."""

    kept_alive = True

    __slots__ = ("_over", "_sending", "since")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.since = monotonic()
        self._over = False
        # A comment must not get between the pieces of an event, however a server sends.
        self._sending = anyio.Lock(fast_acquire=True)

    async def send(self, item: Any) -> None:
        async with self._sending:
            await super().send(item)
        self.since = monotonic()

    async def end(self, last: bytes = b"") -> None:
        self._over = True
        async with self._sending:
            await super().end(last)

    async def interrupt(self) -> None:
        if self._over or self._sending.locked():
            return
        await self.send(EventStreams.comment)


def request_class(route: Route, limits: Limits) -> type[AsgiRequest]:
    """The class of one route's requests."""
    return type(
        "AsgiRequest",
        (AsgiEvents if route.events else AsgiRequest,),
        {
            "__slots__": (),
            "__module__": __name__,
            "binding": route.binding,
            "head": route.constant if route.plain else None,
            "limits": limits,
            "operation": route.operation,
            "route": route,
            "status": route.status,
            "timeout": route.endpoint.timeout,
        },
    )
