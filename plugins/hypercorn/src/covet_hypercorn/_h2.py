"""HTTP/2 by h2's state machine. Imported only where HTTP/2 is enabled.

A slow application holds back its own stream and no other: what it has not taken counts against that
stream's window, and the connection is read all the while. What a client cannot be made to read is
given up stream by stream, and what is sent for no purpose but to be dealt with is counted
(`covet_hypercorn._frames`).
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel
import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from covet_http import judge_handshake
from covet_hypercorn._budget import FloodError
from covet_hypercorn._exchange import Exchange
from covet_hypercorn._fields import WEBSOCKET, answer_fields, is_sound, put_host, sent_fields
from covet_hypercorn._frames import FrameGuard
from covet_hypercorn._h2_writer import Writer
from covet_hypercorn._scope import make_scope, make_websocket_scope

if TYPE_CHECKING:
    from covet_hypercorn._connection import Connection
    from covet_hypercorn._ws_channel import WebSocketChannel
    from covet_hypercorn._ws_h2 import WebSocketExchange

# GOAWAY for the highest stream: no new streams, please; those you sent are answered.
_GOAWAY: Final = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00"
_INITIAL_WINDOW: Final = 65_535
# What all streams of a connection may have sent that no application has taken.
_CONNECTION_WINDOW: Final = 1 << 20
# How many times 'max_header_bytes' the headers of all calls of a connection may take, decoded: a
# few bytes that refer to what was sent before become as much as that (RFC 7541, 7.3).
_HEADERS: Final = 8
_FIELD: Final = 32  # what each field counts besides its bytes (RFC 9113, 6.5.2)
# Pieces of a body smaller than this are joined while they wait.
_JOINED: Final = 16_384
# A stream is not held up if so much of its answer has left since.
_PROGRESS: Final = 1024
_NEVER: Final = float("inf")


class _Stream:
    """One request and its answer.

    Attributes:
        id: Of the stream.
        answered: Whether its answer is whole, or its call has ended without one.
        channel: The WebSocket that it carries, if it does.
        exchange: Runs the application.
        headers: Bytes that its headers take, decoded.
        unread: Bytes that have come and that the application has not taken.
        missing: Bytes of its body that were announced and have not come; ``None``: none were announced.
        incomplete: Whether more of the body is to come.
        read_by: When to stop waiting for more of its body, on `monotonic`'s clock.
        give_up: When to stop waiting for the client to read.
    """

    __slots__ = (
        "answered", "channel", "exchange", "give_up", "head", "head_only", "headers", "id", "incomplete",
        "missing", "moved",
        "over", "read_by", "room", "started", "trailers", "unread",
    )  # fmt: skip

    def __init__(
        self, stream_id: int, *, head_only: bool, headers: int, missing: int | None
    ) -> None:
        self.id = stream_id
        self.answered = False
        self.exchange: Exchange | WebSocketExchange
        self.channel: WebSocketChannel | None = None
        self.head_only = head_only
        self.headers = headers
        self.unread = 0
        self.missing = missing
        self.incomplete = True
        self.head: list[tuple[bytes, bytes]] | None = None
        self.started = False
        self.trailers = False
        self.over = False
        self.room: anyio.Event | None = None
        self.read_by = _NEVER
        self.give_up = _NEVER
        self.moved = 0


class H2:
    """One HTTP/2 connection."""

    unread = False
    passing_over = False
    body_incomplete = False  # of the connection's time: each stream has its own

    def __init__(self, connection: Connection) -> None:
        listener = connection.listener
        self._connection = connection
        self._listener = listener
        self._guard = FrameGuard(listener.options.max_header_bytes, monotonic)
        self._streams: dict[int, _Stream] = {}
        self._running = 0
        self._unanswered = 0
        self._headers = 0
        self._ended = False
        self._writer = Writer(self._flush_or_end)
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                # All that is sent is looked at where it is made (`covet_hypercorn._fields`).
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: listener.max_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: listener.options.max_header_bytes,
                SettingCodes.INITIAL_WINDOW_SIZE: _INITIAL_WINDOW,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
            },
        )
        # At once, and not only when the client has acknowledged the settings.
        self._h2.decoder.max_header_list_size = listener.options.max_header_bytes

    async def begin(self, data: bytes) -> None:
        """Answer the client's preface."""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW - _INITIAL_WINDOW)
        await self._flush()
        self._connection.spawn(self._writer.run)
        await self.receive(data)

    # From the client.

    async def receive(self, data: bytes) -> None:
        """Take bytes, empty at the end."""
        if not data or self._ended:
            return
        try:
            self._guard.received(data)
            for event in self._h2.receive_data(data):
                self._take(event)
            await self._flush()
        except FloodError as flood:
            await self._flooded(flood)
        except ProtocolError:
            await self._end(None)

    async def gone(self) -> None:
        """The client is no longer there, or no longer wanted."""
        await self._end(ErrorCodes.NO_ERROR)
        for stream in list(self._streams.values()):
            await self._lost(stream)
        self._writer.stop()

    async def drain(self) -> None:
        """Ask the client to open no more streams."""
        if not self._ended:
            await self._connection.write(_GOAWAY)

    def is_due(self, now: float) -> bool:
        """Whether a client has not sent or read a stream for too long."""
        return any(
            now >= each.read_by
            or now >= each.give_up
            or (each.channel is not None and each.channel.is_due(now))
            for each in self._streams.values()
        )

    def expire(self, now: float) -> None:
        """Reset the streams that nobody reads, and answer those of which nothing comes."""
        for stream in list(self._streams.values()):
            if now >= stream.read_by:
                stream.read_by = _NEVER
                self._connection.spawn(self._late, stream)
            elif now >= stream.give_up:
                stream.give_up = _NEVER
                self._connection.spawn(self._abandon, stream)
            if stream.channel is not None:
                stream.channel.expire(now)

    def too_slow(self) -> None:
        """The client has paused for too long between two requests."""
        self._connection.finish()

    def not_read(self) -> bool:
        """The client reads nothing of the connection; whether all applications are told."""
        for stream in self._streams.values():
            stream.exchange.not_read()
        return False

    async def _abandon(self, stream: _Stream) -> None:
        self._reset(stream.id, ErrorCodes.CANCEL)
        await self._lost(stream)
        await self._flush_or_end()

    async def _late(self, stream: _Stream) -> None:
        """Answer a request whose body has not come in time, unless it has come by now."""
        if stream.over or not self._waits(stream):
            return
        assert isinstance(stream.exchange, Exchange)  # a WebSocket has no body
        status = HTTPStatus.REQUEST_TIMEOUT
        with suppress(ProtocolError):  # it was over before
            self._say(stream, status)
        self._reset(stream.id, ErrorCodes.NO_ERROR)
        stream.over = True
        stream.exchange.disconnect(status)
        self._release(stream)
        await self._flush_or_end()

    async def _flooded(self, flood: FloodError) -> None:
        """End the connection of a client that sends too much of no use."""
        if not self._ended:
            self._listener.floods.note(self._connection.client, str(flood))
        await self._end(ErrorCodes.ENHANCE_YOUR_CALM)

    async def _end(self, error: ErrorCodes | None) -> None:
        """Say GOAWAY, if h2 has not said it itself, and read no more."""
        if self._ended:
            return
        self._ended = True
        if error is not None:
            with suppress(ProtocolError):  # it was over before
                self._h2.close_connection(error, last_stream_id=self._h2.highest_inbound_stream_id)
        await self._connection.write(self._h2.data_to_send())
        self._connection.finish()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._begin(event)
        elif isinstance(event, h2.events.DataReceived):
            self._data(event)
        elif isinstance(event, h2.events.StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self._body_ended(stream)
        elif isinstance(event, h2.events.StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self._connection.spawn(self._lost, stream)
        elif isinstance(event, h2.events.WindowUpdated):
            self._open(event.stream_id)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self._open(0)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._ended = True
            self._connection.finish()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        pseudo = {name: value for name, value in event.headers if name[:1] == b":"}
        headers = [(name, value) for name, value in event.headers if name[:1] != b":"]
        if not is_sound(pseudo, headers):
            self._reset(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        missing = next((int(value) for name, value in headers if name == b"content-length"), None)
        if missing and event.stream_ended is not None:
            self._reset(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return
        size = sum(len(name) + len(value) + _FIELD for name, value in event.headers)
        most = _HEADERS * self._listener.options.max_header_bytes
        if self._unanswered >= self._listener.max_streams or self._headers + size > most:
            # Those that were reset count until their calls have ended. Those that were answered do not:
            # their clients may open others before the task of the call has noticed.
            self._reset(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        websocket = (pseudo[b":method"], pseudo.get(b":protocol")) == WEBSOCKET
        if pseudo[b":method"] == b"CONNECT" and not websocket:
            self._h2.send_headers(stream_id, [(b":status", b"501")], end_stream=True)
            return
        method = pseudo[b":method"]
        stream = _Stream(stream_id, head_only=method == b"HEAD", headers=size, missing=missing)
        headers = put_host(pseudo, headers)
        if websocket:
            refused, lines = judge_handshake("GET", "2", headers)
            if refused or event.stream_ended is not None:
                head = answer_fields(refused or HTTPStatus.BAD_REQUEST, lines)
                self._h2.send_headers(stream_id, head, end_stream=True)
                return
        exchange = self._websocket if websocket else self._request
        exchange(stream, pseudo, headers)
        connection = self._connection
        self._streams[stream_id] = stream
        self._running += 1
        self._unanswered += 1
        self._headers += size
        connection.set_idle(False)
        connection.spawn(self._run, stream)

    def _request(
        self, stream: _Stream, pseudo: dict[bytes, bytes], headers: list[tuple[bytes, bytes]]
    ) -> None:
        """The exchange of a request."""
        connection, listener = self._connection, self._listener
        scope = make_scope(connection, "2", pseudo[b":method"], pseudo[b":path"], headers)
        scope["extensions"]["http.response.trailers"] = {}
        stream.exchange = Exchange(
            listener.calls,
            scope,
            partial(self._send, stream),
            logs=listener.access_log,
            taken=partial(self._taken, stream),
            wanted=partial(self._wanted, stream, expected=_expects(headers)),
        )

    def _websocket(
        self, stream: _Stream, pseudo: dict[bytes, bytes], headers: list[tuple[bytes, bytes]]
    ) -> None:
        """The exchange of a WebSocket, which has no body that anybody waits for."""
        # Few services have any.
        from covet_hypercorn._ws_channel import WebSocketChannel
        from covet_hypercorn._ws_h2 import H2Carrier, WebSocketExchange

        connection, listener = self._connection, self._listener
        carrier = H2Carrier(connection, partial(self._send, stream), partial(self._abandon, stream))
        offers = b", ".join(v for name, v in headers if name == b"sec-websocket-extensions")
        channel = WebSocketChannel(carrier, offers)
        scope = make_websocket_scope(connection, "2", pseudo[b":path"], headers, channel)
        stream.incomplete = False
        stream.exchange = WebSocketExchange(
            listener.calls,
            scope,
            channel,
            taken=partial(self._taken, stream),
            logs=listener.access_log,
        )
        stream.channel = channel

    async def _run(self, stream: _Stream) -> None:
        try:
            await stream.exchange.run()
        finally:
            self._running -= 1
            self._answered(stream)
            self._headers -= stream.headers
            self._settle()

    def _waits(self, stream: _Stream) -> bool:
        """Whether more of a body is to come, and may be sent, before anything is answered."""
        return stream.incomplete and not stream.unread and not stream.started

    def _wait(self, stream: _Stream) -> None:
        """Give the client time to send more; once the answer has begun, it is a conversation and may pause."""
        if self._waits(stream):
            stream.read_by = monotonic() + self._listener.options.read_timeout

    def _body_ended(self, stream: _Stream) -> None:
        stream.incomplete = False
        stream.read_by = _NEVER
        if stream.missing:
            # h2 looks at lengths where a DATA frame ends the stream, and not where trailers do.
            self._reset(stream.id, ErrorCodes.PROTOCOL_ERROR)
            self._connection.spawn(self._lost, stream)
            return
        stream.exchange.offer({"type": "http.request", "body": b"", "more_body": False})

    def _data(self, event: h2.events.DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        size = len(event.data)
        held = size if stream is not None and not stream.over else 0
        if stream is not None and stream.missing is not None:
            stream.missing -= size
        if event.flow_controlled_length > held:
            self._h2.acknowledge_received_data(event.flow_controlled_length - held, event.stream_id)
        if stream is not None and held:
            stream.unread += held
            stream.read_by = _NEVER
            stream.exchange.offer(
                {"type": "http.request", "body": event.data, "more_body": True}, join=_JOINED
            )

    def _open(self, stream_id: int) -> None:
        """A window has grown: of a stream, or of all."""
        streams = (self._streams.get(stream_id),) if stream_id else tuple(self._streams.values())
        for stream in streams:
            if stream is not None and stream.room is not None:
                stream.room.set()

    async def _wanted(self, stream: _Stream, *, expected: bool) -> None:
        """The application waits for a body of which nothing has come.

        Args:
            stream: Its stream.
            expected: Whether the client waits to be told so (RFC 9110, 10.1.1).
        """
        self._wait(stream)
        if expected and self._waits(stream) and stream.head is None and not self._ended:
            with suppress(ProtocolError):  # it was over before
                self._h2.send_headers(stream.id, [(b":status", b"100")])
            await self._flush_or_end()

    async def _taken(self, stream: _Stream, size: int) -> None:
        """The application has taken so much: the client may send as much again."""
        stream.unread -= size
        if size and not self._ended:
            self._h2.acknowledge_received_data(size, stream.id)
            self._wait(stream)
            self._writer.soon()

    async def _lost(self, stream: _Stream) -> None:
        """The client is not there for the rest of this answer."""
        stream.over = True
        if stream.room is not None:
            stream.room.set()
        stream.exchange.disconnect()
        self._release(stream)

    # From the application.

    async def _send(self, stream: _Stream, message: Any) -> None:
        """ASGI's ``send``; ``None`` says that the application has returned."""
        if stream.over or self._ended:
            if message is None:
                self._release(stream)
                return
            # A handler that does nothing but send has to notice that it was cancelled.
            await anyio.lowlevel.checkpoint()
            return
        try:
            if message is None:
                self._returned(stream)
            elif message["type"] == "http.response.start":
                self._start(stream, message)
            elif message["type"] == "http.response.body":
                await self._body(stream, message.get("body", b""), message.get("more_body", False))
            elif message["type"] == "http.response.trailers":
                self._trailers(stream, message)
            else:
                raise RuntimeError(f"no message {message['type']!r} over HTTP/2")
        except ProtocolError:
            # The stream is over, or the connection: nobody waits for this.
            stream.over = True
            self._release(stream)
            await anyio.lowlevel.checkpoint()

    def _start(self, stream: _Stream, message: Any) -> None:
        if stream.head is not None or stream.started:
            raise RuntimeError("the answer has begun already")
        # ASGI has servers hold the head back until the first piece of the body: one write.
        stream.head = answer_fields(
            message["status"], self._listener.complete(message.get("headers", ()))
        )
        stream.trailers = message.get("trailers", False)

    async def _body(self, stream: _Stream, body: bytes, more: bool) -> None:
        if stream.head is None and not stream.started:
            raise RuntimeError("the body comes before the start of the answer")
        left = piece = memoryview(b"" if stream.head_only else body)
        last = not more and not stream.trailers
        if stream.head is not None:
            stream.started = True
            stream.read_by = _NEVER
            head, stream.head = stream.head, None
            self._h2.send_headers(stream.id, head, end_stream=last and not left)
        elif last and not left:
            self._h2.end_stream(stream.id)
        while left and not stream.over:
            window = min(
                self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size
            )
            if window <= 0:
                self._writer.soon()
                await self._wait_for_room(stream)
                continue
            piece, left = left[:window], left[window:]
            self._h2.send_data(stream.id, bytes(piece), end_stream=last and not left)
            stream.moved += len(piece)
            if left:
                await self._writer.said(len(piece))
        stream.give_up = _NEVER
        if last:
            self._complete(stream)
        elif more:
            await self._writer.said(len(piece))
        else:
            self._writer.soon()

    async def _wait_for_room(self, stream: _Stream) -> None:
        """Wait until the client lets more be sent."""
        if stream.moved >= _PROGRESS or stream.give_up == _NEVER:
            stream.give_up = monotonic() + self._listener.options.write_timeout
        stream.moved = 0
        stream.room = anyio.Event()
        if self._h2.local_flow_control_window(stream.id) <= 0 and not stream.over:
            await stream.room.wait()
        stream.room = None

    def _trailers(self, stream: _Stream, message: Any) -> None:
        if not stream.started:
            raise RuntimeError("trailers come before the body")
        if message.get("more_trailers", False):
            raise RuntimeError("all trailers have to come in one message")
        headers = sent_fields(message.get("headers", ()))
        if headers:
            self._h2.send_headers(stream.id, headers, end_stream=True)
        else:
            self._h2.end_stream(stream.id)
        self._complete(stream)

    def _complete(self, stream: _Stream) -> None:
        """The answer is whole: the rest of the request is not wanted."""
        stream.over = True
        self._answered(stream)
        if stream.incomplete:
            self._reset(stream.id, ErrorCodes.NO_ERROR)
        self._release(stream)
        self._writer.soon()

    def _answered(self, stream: _Stream) -> None:
        """A stream counts no longer, if it did."""
        if not stream.answered:
            stream.answered = True
            self._unanswered -= 1

    def _returned(self, stream: _Stream) -> None:
        if not stream.started:
            self._say(stream, 500)
            self._complete(stream)
            return
        # An answer has begun and is not complete: a reset is the only honest end.
        stream.over = True
        self._reset(stream.id, ErrorCodes.INTERNAL_ERROR)
        self._release(stream)
        self._writer.soon()

    def _say(self, stream: _Stream, status: int) -> None:
        """Answer in the application's place, without a body."""
        head = answer_fields(status, self._listener.complete([(b"content-length", b"0")]))
        self._h2.send_headers(stream.id, head, end_stream=True)

    def _reset(self, stream_id: int, error: ErrorCodes) -> None:
        with suppress(ProtocolError):  # it was over before
            self._h2.reset_stream(stream_id, error)

    def _release(self, stream: _Stream) -> None:
        """Forget a stream; what its application has not taken no longer counts."""
        if self._streams.pop(stream.id, None) is None:
            return
        if stream.unread and not self._ended:
            self._h2.acknowledge_received_data(stream.unread, stream.id)
            stream.unread = 0
        self._settle()

    def _settle(self) -> None:
        """The connection is idle once no stream is open and no call runs."""
        if not self._streams and not self._running and not self._ended:
            self._connection.set_idle(True)

    async def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._guard.sent(data)
            await self._connection.write(data)

    async def _flush_or_end(self) -> None:
        """`_flush`, for whoever is not the connection's reader."""
        try:
            await self._flush()
        except FloodError as flood:
            await self._flooded(flood)


def _expects(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a client waits to be asked for the body."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
