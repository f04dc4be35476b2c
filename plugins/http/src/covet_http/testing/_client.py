"""A client whose every byte goes through the parser of the server under test, without a socket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import urljoin, urlsplit

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream

from covet_http._plugin import HTTP
from covet_http._server import MemoryListener
from covet_http.testing._answer import Answer, StreamedAnswer
from covet_http.testing._connection import Connection
from covet_http.testing._cookies import Cookies
from covet_http.testing._multipart import Content, Fields, Files
from covet_http.testing._read import Head, WireError
from covet_http.testing._request import Outgoing, encode_request
from covet_http.testing._websocket import HandshakeRefused, WebSocketSession, handshake_headers
from covet_kernel import Kernel

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_MOST_REDIRECTS = 10
_SWITCHING = 101


class RequestParts(TypedDict, total=False):
    """What a request may be made of.

    Attributes:
        params: The query; lists are sent as several values.
        headers: Fields in place of those the client would send.
        content: The body as it is; what comes in pieces is sent in chunks.
        json: The body as JSON.
        data: The fields of a form.
        files: Files of a form, which make it ``multipart/form-data``.
        split: Send so many bytes at a time, and let the server have its turn in between.
        disconnect_after: Reset the connection after so many bytes of the request;
            `Disconnected` is raised then.
    """

    params: Fields | None
    headers: Mapping[str, str] | None
    content: Content | None
    json: Any
    data: Fields | None
    files: Files | None
    split: int
    disconnect_after: int | None


class ClientOptions(TypedDict, total=False):
    """What a client may be told.

    Attributes:
        host: What its requests name, and where its cookies belong; ``"localhost"`` by default.
        headers: Sent with every request that does not say otherwise.
        follow_redirects: Whether to, on the same origin; not by default.
        timeout: Seconds for a request, or for the next piece of a streamed answer; 30 by default.
        on_answer: Called with each answer that is read as a whole.
        tls: For a server that speaks TLS.
    """

    host: str
    headers: Mapping[str, str]
    follow_redirects: bool
    timeout: float
    on_answer: Callable[[Answer], object] | None
    tls: ssl.SSLContext | None


class Client:
    """Made by `client_of` or `run_service`; used by any number of tasks.

    A request takes a connection that waits, or opens another. Whatever the server does wrong on the
    wire, such as a body that is cut off, is a `WireError`.

    Attributes:
        kernel: Whose service it talks to.
        headers: Sent with every request that does not say otherwise.
        cookies: Those the server has set, which are sent back.
        opened: Connections so far.
    """

    def __init__(self, kernel: Kernel, **options: Unpack[ClientOptions]) -> None:
        listener = kernel.require(HTTP).listener
        if not isinstance(listener, MemoryListener):
            raise TypeError(f"a server without connect() cannot be reached in memory: {listener!r}")
        self.kernel = kernel
        self.headers = dict(options.get("headers") or {})
        self.cookies = Cookies()
        self.opened = 0
        self._listener = listener
        self._host = options.get("host", "localhost")
        self._follow = options.get("follow_redirects", False)
        self._timeout = options.get("timeout", 30.0)
        self._on_answer = options.get("on_answer")
        self._tls = options.get("tls")
        self._idle: list[Connection] = []

    # Requests

    async def request(
        self,
        method: str,
        path: str,
        *,
        follow_redirects: bool | None = None,
        **parts: Unpack[RequestParts],
    ) -> Answer:
        """Send a request and read the whole answer.

        Args:
            method: As it is sent.
            path: Begins with a slash; what cannot stand in a path is percent-encoded.
            follow_redirects: In place of what the client was made with.
            parts: See `RequestParts`.

        Raises:
            WireError: What came is no answer, or not all of one.
            Disconnected: ``disconnect_after`` bytes were sent.
            TimeoutError: The client's timeout has passed.
        """
        follow = self._follow if follow_redirects is None else follow_redirects
        for _ in range(_MOST_REDIRECTS):
            answer = await self._request(method, path, parts)
            location = answer.headers.get("location")
            if not (follow and answer.status in _REDIRECTS and location):
                return answer
            path = self._same_origin(path, location)
            parts.pop("params", None)
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method = "GET" if method != "HEAD" else method
                for each in ("content", "json", "data", "files"):
                    parts.pop(each, None)  # type: ignore[misc]
        raise WireError(f"more than {_MOST_REDIRECTS} redirects, the last one to {path}")

    async def get(self, path: str, **parts: Unpack[RequestParts]) -> Answer:
        """`request` with ``GET``."""
        return await self.request("GET", path, **parts)

    async def head(self, path: str, **parts: Unpack[RequestParts]) -> Answer:
        """`request` with ``HEAD``."""
        return await self.request("HEAD", path, **parts)

    async def options(self, path: str, **parts: Unpack[RequestParts]) -> Answer:
        """`request` with ``OPTIONS``."""
        return await self.request("OPTIONS", path, **parts)

    async def post(self, path: str, **parts: Unpack[RequestParts]) -> Answer:
        """`request` with ``POST``."""
        return await self.request("POST", path, **parts)

    async def put(self, path: str, **parts: Unpack[RequestParts]) -> Answer:
        """`request` with ``PUT``."""
        return await self.request("PUT", path, **parts)

    async def patch(self, path: str, **parts: Unpack[RequestParts]) -> Answer:
        """`request` with ``PATCH``."""
        return await self.request("PATCH", path, **parts)

    async def delete(self, path: str, **parts: Unpack[RequestParts]) -> Answer:
        """`request` with ``DELETE``."""
        return await self.request("DELETE", path, **parts)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **parts: Unpack[RequestParts]
    ) -> AsyncIterator[StreamedAnswer]:
        """Send a request, whose body may still be on its way, and read the answer in the block.

        A block that leaves before the end of the body resets the connection, as a client does that
        goes away. Nothing is read ahead: a block that does not read is a client whose window stays
        closed.

        Args:
            method: As it is sent.
            path: As in `request`.
            parts: See `RequestParts`.
        """
        outgoing = self._encode(method, path, parts)
        async with self._exchange(outgoing, parts) as (connection, head):

            async def piece() -> bytes:
                with anyio.fail_after(self._timeout):
                    return await connection.piece()

            yield StreamedAnswer(head, piece, lambda: connection.trailers)

    @asynccontextmanager
    async def websocket(
        self,
        path: str,
        *,
        subprotocols: tuple[str, ...] = (),
        deflate: bool = False,
        early: bytes = b"",
        **parts: Unpack[RequestParts],
    ) -> AsyncIterator[WebSocketSession]:
        """Open a WebSocket around the block, which is closed 1000 if it is still open at its end.

        Args:
            path: As in `request`.
            subprotocols: What the client offers.
            deflate: Whether it offers to compress messages.
            early: Bytes that are sent with the handshake, before there is an answer.
            parts: ``params`` and ``headers`` of `RequestParts`.

        Raises:
            HandshakeRefused: The server has answered with something else.
        """
        ours, accept = handshake_headers(subprotocols, deflate=deflate)
        parts["headers"] = {**ours, **(parts.get("headers") or {})}
        outgoing = self._encode("GET", path, parts)
        connection = await self._connect()
        try:
            with anyio.fail_after(self._timeout):
                connection.begin()
                await connection.send(outgoing.head + early)
                head = await connection.head()
                if head.status != _SWITCHING:
                    body = await connection.rest()
                    answer = Answer(head, body, connection.trailers, method="GET", path=path)
                    raise HandshakeRefused(answer)
            if head.headers.get("sec-websocket-accept") != accept:
                raise WireError("the key of the handshake is not answered")
            session = WebSocketSession(connection, head, self._timeout)
            yield session
            if session.close_code is None:
                with anyio.fail_after(self._timeout):
                    await session.close()
        finally:
            with anyio.CancelScope(shield=True):
                await connection.reset()

    def encode(self, method: str, path: str, **parts: Unpack[RequestParts]) -> bytes:
        """The bytes of a request, for a connection of its own.

        Raises:
            TypeError: Its body comes in pieces.
        """
        outgoing = self._encode(method, path, parts)
        if not isinstance(outgoing.body, bytes):
            raise TypeError("a body that comes in pieces is sent by `request` or `stream`")
        return outgoing.head + outgoing.body

    # Connections

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A connection of one's own, to send what one likes: several requests at once, or none."""
        async with await self._connect() as connection:
            yield connection

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        with anyio.CancelScope(shield=True):
            while self._idle:
                await self._idle.pop().reset()

    async def _connect(self) -> Connection:
        stream: anyio.abc.ByteStream = self._listener.connect()
        if self._tls is not None:
            try:
                with anyio.fail_after(self._timeout):
                    stream = await TLSStream.wrap(
                        stream,
                        hostname=self._host,
                        ssl_context=self._tls,
                        standard_compatible=False,
                    )
            except BaseException:
                await anyio.aclose_forcefully(stream)
                raise
        self.opened += 1
        return Connection(stream)

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if await connection.is_alive():
                return connection
            with anyio.CancelScope(shield=True):
                await connection.reset()
        return await self._connect()

    async def _request(self, method: str, path: str, parts: RequestParts) -> Answer:
        outgoing = self._encode(method, path, parts)
        with anyio.fail_after(self._timeout):
            async with self._exchange(outgoing, parts) as (connection, head):
                body, trailers = await connection.rest(), connection.trailers
        answer = Answer(head, body, trailers, method=method, path=outgoing.target)
        if self._on_answer is not None:
            self._on_answer(answer)
        return answer

    def _encode(self, method: str, path: str, parts: RequestParts) -> Outgoing:
        headers = {**self.headers, **(parts.get("headers") or {})}
        return encode_request(
            method,
            path,
            host=self._host,
            params=parts.get("params"),
            headers=headers,
            content=parts.get("content"),
            json=parts.get("json"),
            data=parts.get("data"),
            files=parts.get("files"),
            cookies=self.cookies.line(path.partition("?")[0], secure=self._tls is not None),
        )

    @asynccontextmanager
    async def _exchange(
        self, outgoing: Outgoing, parts: RequestParts
    ) -> AsyncIterator[tuple[Connection, Head]]:
        """A connection on which this request is on its way, and its answer's final head."""
        connection = await self._take()
        sending = _Sending(connection, outgoing, parts)
        try:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(sending.run, tasks.cancel_scope)
                    with anyio.fail_after(self._timeout):
                        head = await connection.head(outgoing.method)
                        while head.status < 200 and head.status != _SWITCHING:
                            head = await connection.head(outgoing.method)
                    for line in head.headers.all("set-cookie"):
                        self.cookies.receive(line, outgoing.path, secure=self._tls is not None)
                    yield connection, head
                    tasks.cancel_scope.cancel()
            except BaseExceptionGroup as group:
                if sending.failure is not None:
                    raise sending.failure from None
                if len(group.exceptions) == 1:
                    raise group.exceptions[0] from None
                raise
            if sending.failure is not None:
                raise sending.failure
        finally:
            if sending.complete and connection.complete and not connection.closes:
                self._idle.append(connection)
            else:
                with anyio.CancelScope(shield=True):
                    await connection.reset()

    def _same_origin(self, path: str, location: str) -> str:
        found = urlsplit(urljoin(f"//{self._host}{path}", location))
        if found.netloc != self._host:
            raise WireError(f"a redirect to another origin: {location!r}")
        return f"{found.path}?{found.query}" if found.query else found.path


class _Sending:
    """One request on its way, while its answer is waited for already."""

    def __init__(self, connection: Connection, outgoing: Outgoing, parts: RequestParts) -> None:
        self.complete = False
        self.failure: Exception | None = None
        self._connection = connection
        self._outgoing = outgoing
        self._split = parts.get("split", 0)
        self._after = parts.get("disconnect_after")
        connection.begin()

    async def run(self, scope: anyio.CancelScope) -> None:
        try:
            async with aclosing(self._outgoing.pieces()) as pieces:
                async for piece in pieces:
                    await self._connection.send(
                        piece, split=self._split, disconnect_after=self._after
                    )
            self.complete = True
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the server wants no more of it; what it answered says why
        except Exception as error:
            self.failure = error
            scope.cancel()


def client_of(kernel: Kernel, **options: Unpack[ClientOptions]) -> Client:
    """A client of a running kernel's HTTP service, past its sockets; to be entered.

    Args:
        kernel: One that runs covet-http, on a server that has `covet_http.MemoryListener`.
        options: See `ClientOptions`.

    Raises:
        LookupError: The kernel runs no HTTP service.
        TypeError: Its server cannot be reached without sockets.
    """
    return Client(kernel, **options)
