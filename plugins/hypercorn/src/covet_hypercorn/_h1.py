"""HTTP/1.1: h11's state machine between a connection's bytes and ASGI messages.

What h11 takes although two parsers might read it differently is refused (`covet_hypercorn._strict`).
"""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import h11

from covet_http import judge_handshake, wants_websocket
from covet_hypercorn._exchange import Exchange
from covet_hypercorn._scope import make_scope, make_websocket_scope
from covet_hypercorn._sendfile import ZEROCOPYSEND, Span
from covet_hypercorn._strict import ChunkScanner, judge_head

if TYPE_CHECKING:
    from covet_hypercorn._connection import Connection
    from covet_hypercorn._ws_channel import WebSocketChannel

Headers = Sequence[tuple[bytes, bytes]]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
# Pieces of a body that come together are joined up to so many bytes.
_JOINED = 16_384
# A body that nobody has read is passed over if it has at most so many bytes.
_PASS_OVER = 256 * 1024
_BODILESS = frozenset({204, 304})


class Http2WantedError(Exception):
    """The client begins with HTTP/2's preface, and HTTP/2 is enabled.

    Attributes:
        data: All bytes so far, the preface included.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


class Clock:
    """The ``Date`` header, formatted once a second."""

    def __init__(self) -> None:
        self._line = (b"date", b"")
        self._until = 0.0

    @property
    def line(self) -> tuple[bytes, bytes]:
        now = monotonic()
        if now >= self._until:
            self._line = (b"date", formatdate(time(), usegmt=True).encode("ascii"))
            self._until = now + 1.0
        return self._line


class H1:
    """One HTTP/1.1 connection; one request at a time, pipelined ones wait in h11's buffer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._listener = connection.listener
        self._h11 = h11.Connection(
            h11.SERVER, max_incomplete_event_size=self._listener.options.max_header_bytes
        )
        # HTTP/2 begins a connection, and over TLS it was chosen before (RFC 9113, 3.2 and 3.3).
        self._may_switch = self._listener.http2 and self._listener.tls is None
        self._exchange: Exchange | None = None
        self._channel: WebSocketChannel | None = None
        self._answered = anyio.Event()
        self.passing_over = False
        self._length = -1
        self._chunks: ChunkScanner | None = None
        self._scope: Any = None
        self._head: h11.Response | None = None
        self._status: int | None = None
        # Whether nothing but the end of the connection says where the body ends.
        self._until_closed = False
        # Whether the answer has begun before the client was told to send the body it announced.
        self._uninvited = False

    @property
    def body_incomplete(self) -> bool:
        """Whether the rest of a request's body is still to come."""
        return self._h11.their_state is h11.SEND_BODY

    @property
    def unread(self) -> bool:
        """Whether the client may still be sending, so that closing at once could lose the answer."""
        if self._channel is not None:
            return not self._channel.complete
        return self._h11.their_state in (h11.SEND_BODY, h11.ERROR)

    async def drain(self) -> None:
        """Nothing to say now: the next answer will."""

    def is_due(self, now: float) -> bool:
        """Whether a WebSocket waits for something; for the rest the connection knows."""
        return self._channel is not None and self._channel.is_due(now)

    def expire(self, now: float) -> None:
        """Do what a WebSocket has to do now."""
        if self._channel is not None:
            self._channel.expire(now)

    def too_slow(self) -> None:
        """The client has paused for too long: within a body it is told so."""
        if self.body_incomplete:
            self._connection.spawn(self._time_out)
        else:
            self._connection.finish()

    async def _time_out(self) -> None:
        if self._exchange is not None and self.body_incomplete:
            await self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._connection.finish()

    def not_read(self) -> bool:
        """The client does not read what it is sent; whether the application is told, and need not end."""
        if self._exchange is not None:
            self._exchange.not_read()
        if self._channel is not None:
            self._channel.abort()
        return self._channel is not None

    # From the client.

    async def receive(self, data: bytes) -> None:
        """Take bytes, empty at the end; waits while the application or an answer lags behind."""
        if self._channel is None:
            await self._receive_http(data)
        else:
            await self._channel.feed(data)

    async def _receive_http(self, data: bytes) -> None:
        if self._chunks is not None and not self._chunks.accepts(data):
            await self._refuse(400)
            return
        self._h11.receive_data(data)
        # Kept back until it is known whether it is the last: most bodies are one message then, and
        # small chunks are few.
        body = bytearray()
        while True:
            waiting = self._h11.trailing_data[0] if self._h11.their_state is h11.IDLE else b""
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return
            if isinstance(event, h11.Request):
                if not await self._request(event, waiting):
                    return
            elif isinstance(event, h11.Data):
                if len(body) >= _JOINED:
                    await self._put(bytes(body), more=True)
                    body.clear()
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                await self._put(bytes(body), more=False)
                body.clear()
                if self.passing_over:
                    self.passing_over = False
                    self._next()
            elif event is h11.PAUSED:
                if await self._switched():
                    return
                await self._answered.wait()
            else:
                if body:
                    await self._put(bytes(body), more=True)
                return

    async def _switched(self) -> bool:
        """Whether what comes from here on is no HTTP; the first of it waits for the handshake's answer."""
        if self._channel is None:
            return False
        if early := self._h11.trailing_data[0]:
            await self._channel.feed(early)
        return True

    async def gone(self) -> None:
        """The client is no longer there."""
        if self._exchange is not None:
            self._exchange.disconnect()
        if self._channel is not None:
            self._channel.lost()

    async def _put(self, body: bytes, *, more: bool) -> None:
        if self._exchange is not None:
            await self._exchange.put({"type": "http.request", "body": body, "more_body": more})

    async def _request(self, event: h11.Request, waiting: bytes) -> bool:
        """Begin an exchange; whether to go on reading.

        Args:
            event: The head.
            waiting: The bytes it begins.
        """
        rest: bytes = self._h11.trailing_data[0]
        head = waiting[: len(waiting) - len(rest)]
        if head == _PREFACE and self._may_switch:
            raise Http2WantedError(_PREFACE + rest)
        self._may_switch = False
        refused = self._unacceptable(event) or judge_head(head)
        if not refused and any(name == b"transfer-encoding" for name, _ in event.headers):
            self._chunks = ChunkScanner()
            refused = 0 if self._chunks.accepts(rest) else 400
        else:
            self._chunks = None
        if refused:
            await self._refuse(refused)
            return False
        connection = self._connection
        if wants_websocket(event.headers):
            return await self._handshake(event)
        self._scope = make_scope(
            connection,
            event.http_version.decode("ascii"),
            event.method,
            event.target,
            list(event.headers),
        )
        if connection.sends_files:
            self._scope["extensions"][ZEROCOPYSEND] = {}
        self._length = next(
            (int(value) for name, value in event.headers if name == b"content-length"), -1
        )
        self._status = None
        self._answered = anyio.Event()
        connection.set_idle(False)
        listener = connection.listener
        self._uninvited = False
        # An application may go on after its answer, when the next request has its own exchange.
        exchange = self._exchange = Exchange(
            listener.calls,
            self._scope,
            lambda message: self._send(exchange, message),
            logs=listener.access_log,
            wanted=lambda: self._invite(exchange),
        )
        connection.spawn(exchange.run)
        return True

    async def _handshake(self, event: h11.Request) -> bool:
        """Begin a WebSocket, if that is what is asked for; whether to go on reading."""
        headers = list(event.headers)
        version = event.http_version.decode("ascii")
        status, lines = judge_handshake(event.method.decode("ascii"), version, headers)
        if status:
            await self.deny(status, [*lines, (b"content-length", b"0")], b"")
            return False
        # Few services have any.
        from covet_hypercorn._ws_channel import WebSocketChannel, run_websocket
        from covet_hypercorn._ws_h1 import H1Carrier

        connection = self._connection
        key = next(value for name, value in headers if name == b"sec-websocket-key")
        offers = b", ".join(v for name, v in headers if name == b"sec-websocket-extensions")
        channel = WebSocketChannel(H1Carrier(connection, self._h11, key, self), offers)
        self._channel = channel
        connection.set_idle(False)
        scope = make_websocket_scope(connection, version, event.target, headers, channel)
        listener = connection.listener
        connection.spawn(
            partial(run_websocket, listener.calls, scope, channel, logs=listener.access_log)
        )
        return True

    async def deny(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer a handshake with no WebSocket, and close: what follows may be meant for one."""
        head = self._begin(self._response(status, headers), close=True)
        data = head + (self._h11.send(h11.Data(data=body)) or b"") if body else head
        try:
            await self._write(data + (self._h11.send(h11.EndOfMessage()) or b""))
        finally:
            self._connection.finish()

    def _unacceptable(self, event: h11.Request) -> int:
        """The status to refuse a request with that h11 would take, 0 for none."""
        if event.http_version not in (b"1.1", b"1.0"):
            return 505
        names = [name for name, _ in event.headers]
        if b"transfer-encoding" in names and (
            b"content-length" in names or event.http_version == b"1.0"
        ):
            # Two opinions on where the body ends: a proxy in front may hold the other one.
            return 400
        return 0

    async def _refuse(self, status: int) -> None:
        """Answer what cannot be parsed, unless an answer has begun, and close."""
        exchange, self._exchange = self._exchange, None
        try:
            if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE) and self._head is None:
                await self._write(self._plain(status))
        finally:
            # Also where the write is cancelled, because another has found that nobody is there.
            if exchange is not None:
                exchange.disconnect(status)
        self._connection.finish()

    def _plain(self, status: int) -> bytes:
        head = self._begin(self._response(status, [(b"content-length", b"0")]), close=True)
        return head + (self._h11.send(h11.EndOfMessage()) or b"")

    # From the application.

    async def _invite(self, exchange: Exchange) -> None:
        """Tell a client that waits for it to send the body (RFC 9110, 10.1.1)."""
        if self._exchange is not exchange:
            return
        if self._h11.they_are_waiting_for_100_continue and self._head is None:
            told = h11.InformationalResponse(status_code=100, headers=[])
            await self._write(self._h11.send(told))

    async def _send(self, exchange: Exchange, message: Any) -> None:
        """ASGI's ``send``; ``None`` says that the application has returned."""
        if self._exchange is not exchange:
            # Its answer is complete, or its request turned out to be broken.
            await anyio.lowlevel.checkpoint()
        elif message is None:
            await self._returned()
        elif message["type"] == "http.response.start":
            if self._head is not None or self._status is not None:
                raise RuntimeError("the answer has begun already")
            # ASGI has servers hold the head back until the first piece of the body: one write.
            self._head = self._response(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            await self._body(message.get("body", b""), message.get("more_body", False))
        elif message["type"] == ZEROCOPYSEND and self._connection.sends_files:
            await self._body(message["file"], message.get("more_body", False))
        else:
            raise RuntimeError(f"no message {message['type']!r} over HTTP/1.1")

    def _response(self, status: int, headers: Headers) -> h11.Response:
        lines = self._listener.complete(headers)
        return h11.Response(status_code=status, headers=lines, reason=_REASONS.get(status, b""))

    def _begin(self, response: h11.Response, *, close: bool) -> bytes:
        """The bytes of a head, which says so if the connection ends behind this answer."""
        # While the service stops, a client that pipelines gets the rest of its answers first.
        if close or (self._listener.draining and not self._h11.trailing_data[0]):
            lines = [*response.headers.raw_items(), (b"connection", b"close")]
            response = h11.Response(
                status_code=response.status_code, headers=lines, reason=response.reason
            )
        data: bytes = self._h11.send(response)
        self._status = response.status_code
        self._until_closed = self._h11.their_http_version == b"1.0" and not any(
            name == b"content-length" for name, _ in response.headers
        )
        return data

    async def _body(self, body: bytes | Span, more: bool) -> None:
        if self._head is None and self._status is None:
            raise RuntimeError("the body comes before the start of the answer")
        data, head = b"", self._head
        pieces: list[bytes | Span] = []
        self._head = None
        try:
            if head is not None:
                # A long body that is still on its way when all is said is not waited for, and one
                # that may never come, or come as another request, is waited for by nobody.
                self._uninvited = self._h11.they_are_waiting_for_100_continue
                ends = not more and self._ends(head.status_code)
                data = self._begin(head, close=ends or self._uninvited)
            if body and self._scope["method"] != "HEAD" and self._status not in _BODILESS:
                if isinstance(body, bytes | bytearray | memoryview):
                    data += self._h11.send(h11.Data(data=body)) or b""
                else:
                    # h11 asks for the length of a body, and passes it through.
                    passed = self._h11.send_with_data_passthrough(h11.Data(data=body))  # type: ignore[arg-type]
                    pieces, data = [data, *(passed or ())], b""
            if not more:
                data += self._h11.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError:
            # Also what h11 says once the client has broken the protocol: nobody listens then.
            if self._h11.their_state is not h11.ERROR:
                raise
        for piece in pieces:
            if isinstance(piece, Span):
                await self._connection.send_file(piece)
            else:
                await self._write(piece)
        await self._write(data)
        if not more:
            await self._end()

    async def _returned(self) -> None:
        if self._status is None and self._h11.our_state is h11.SEND_RESPONSE:
            await self._write(self._plain(500))
        # Otherwise an answer has begun and is not complete: cutting it off is the only honest end.
        self._exchange = None
        self._answered.set()
        if self._h11.our_state is h11.SEND_BODY and self._until_closed:
            self._connection.abort()
        else:
            self._connection.finish()

    async def _end(self) -> None:
        """The answer is complete: on to the next request, or close."""
        self._exchange = None
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._next()
        elif (
            self._h11.our_state is h11.DONE
            and self.body_incomplete
            and not self._ends(self._status)
        ):
            self.passing_over = True
            self._connection.read_by = monotonic() + self._listener.options.read_timeout
        else:
            self._connection.finish()
            self._answered.set()

    def _next(self) -> None:
        self._h11.start_next_cycle()
        self._connection.set_idle(True)
        self._answered.set()

    def _ends(self, status: int | None) -> bool:
        """Whether the rest of the body is not worth waiting for: it is long, or comes too slowly."""
        is_short = 0 <= self._length <= _PASS_OVER and status != HTTPStatus.REQUEST_TIMEOUT
        return self.body_incomplete and (self._uninvited or not is_short)

    async def _write(self, data: bytes | None) -> None:
        await self._connection.write(data or b"")
