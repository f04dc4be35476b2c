"""HTTP/3 over one QUIC connection: requests, their answers, and what is not taken.

As in HTTP/2 a slow application holds back its own stream and no other, a client that does not read is
given up stream by stream, and what is sent for no purpose but to be dealt with is counted. A request
that is malformed ends its stream; the others of the connection go on.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel
from aioquic.quic.events import StopSendingReceived, StreamDataReceived, StreamReset

from covet_hypercorn import _h3_frames as frames
from covet_hypercorn._budget import RESETS, Budget
from covet_hypercorn._exchange import Exchange
from covet_hypercorn._fields import (
    answer_fields,
    are_trailers,
    put_host,
    read_request,
    sent_fields,
)
from covet_hypercorn._h3_frames import Code, Http3Error, RequestFrames, TooLargeError
from covet_hypercorn._h3_uni import Incoming
from covet_hypercorn._qpack import FieldsTooLargeError, Qpack, QpackError
from covet_hypercorn._scope import make_scope

if TYPE_CHECKING:
    from covet_hypercorn._h3_connection import Http3Connection

# GOAWAY for the highest stream: no new requests, please; those you sent are answered.
_LAST_STREAM: Final = (1 << 62) - 4
# Bytes of an answer that are kept until the client has acknowledged them: of one stream, and of all
# once there are many, each of which has some.
_KEPT: Final = 256 * 1024
_KEPT_OF_ALL: Final = 1 << 20
_LEAST_KEPT: Final = 16_384
# Pieces of a body smaller than this are joined while they wait.
_JOINED: Final = 16_384
# A stream is not held up if so much of its answer has arrived since.
_PROGRESS: Final = 1024
_NEVER: Final = float("inf")
_TOO_LARGE: Final = 431
_NOT_IMPLEMENTED: Final = 501


class _Stream:
    """One request and its answer.

    Attributes:
        id: Of the stream.
        exchange: Runs the application, once the headers have come.
        frames: Cuts what comes.
        give_up: When to stop waiting for the client to read, on `monotonic`'s clock.
        incomplete: Whether the client may send more.
        left: Bytes of the body that the headers have announced and that have not come; -1 if they
            do not say.
        over: Nobody waits for the rest, of the request or of the answer.
        read_by: When to stop waiting for more of the request.
        unread: Bytes that have come and that the application has not taken.
    """

    __slots__ = (
        "acknowledged", "exchange", "frames", "give_up", "head", "head_only", "id", "incomplete",
        "left", "over", "read_by", "room", "started", "trailers", "unread",
    )  # fmt: skip

    def __init__(self, stream_id: int, reader: RequestFrames, read_by: float) -> None:
        self.id = stream_id
        self.frames = reader
        self.exchange: Exchange | None = None
        self.head_only = False
        self.unread = 0
        self.left = -1
        self.incomplete = True
        self.head: list[tuple[bytes, bytes]] | None = None
        self.started = False
        self.trailers = False
        self.over = False
        self.room: anyio.Event | None = None
        self.read_by = read_by
        self.give_up = _NEVER
        self.acknowledged = 0


class H3:
    """The requests of one connection."""

    def __init__(self, connection: Http3Connection) -> None:
        self._connection = connection
        self._listener = connection.listener
        self._quic = connection.quic
        options = self._listener.options
        self._qpack = Qpack(options.max_header_bytes)
        self._incoming = Incoming(self._quic, self._qpack)
        self._resets = Budget(*RESETS, monotonic())
        self._streams: dict[int, _Stream] = {}
        self._open: set[_Stream] = set()  # their calls run, or their answers are to be delivered
        self._running = 0
        self._control = -1
        self._next = 0  # above every request that was taken
        self._last_call = _NEVER
        self._refusing = False

    # What comes.

    def greet(self) -> None:
        """Say what is taken here: once it is known that the client speaks HTTP/3."""
        self._control = self._quic.get_next_available_stream_id(is_unidirectional=True)
        values = {
            frames.QPACK_MAX_TABLE_CAPACITY: 0,
            frames.MAX_FIELD_SECTION_SIZE: self._listener.options.max_header_bytes,
            frames.QPACK_BLOCKED_STREAMS: 0,
        }
        self._say(frames.varint(frames.CONTROL_STREAM) + frames.settings(values))

    def take(self, event: Any) -> None:
        """Take one of QUIC's events.

        Raises:
            Http3Error: The client breaks the protocol.
            FloodError: It makes more work than a conversation needs.
        """
        if isinstance(event, StreamDataReceived):
            if event.stream_id & 2:
                self._incoming.take(event.stream_id, event.data, ended=event.end_stream)
            else:
                self._data(event)
        elif isinstance(event, StreamReset):
            if event.stream_id & 2:
                self._incoming.reset(event.stream_id)
            else:
                self._reset_by_client(event.stream_id)
        elif isinstance(event, StopSendingReceived):
            stream = self._streams.get(event.stream_id)
            self._incoming.stopped(event.stream_id, self._control)
            if stream is not None:
                self._refuse(stream, Code.REQUEST_CANCELLED)

    def _data(self, event: StreamDataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            stream = self._begin_stream(event.stream_id)
        body = 0 if stream.over else self._read(stream, event.data)
        if len(event.data) > body:
            self._quic.take(stream.id, len(event.data) - body)
        if event.end_stream:
            self._ended(stream)

    def _read(self, stream: _Stream, data: bytes) -> int:
        """Read a request's bytes; how many of them the application is to take."""
        body = 0
        try:
            for kind, piece in stream.frames.feed(data):
                if stream.over:
                    break
                if kind == frames.HEADERS:
                    self._headers(stream, piece)
                else:
                    body += self._body_piece(stream, piece)
        except (TooLargeError, FieldsTooLargeError):
            if stream.exchange is None:
                self._answer(stream, _TOO_LARGE)
            else:
                self._refuse(stream, Code.EXCESSIVE_LOAD)
        except QpackError as error:
            raise Http3Error(Code.QPACK_DECOMPRESSION_FAILED, str(error)) from None
        return body

    def _begin_stream(self, stream_id: int) -> _Stream:
        reader = RequestFrames(self._listener.options.max_header_bytes, self._incoming.spend)
        stream = _Stream(stream_id, reader, monotonic() + self._listener.patience)
        self._streams[stream_id] = stream
        if self._refusing:
            self._refuse(stream, Code.REQUEST_REJECTED)
        else:
            self._next = max(self._next, stream_id + 4)
        return stream

    def _ended(self, stream: _Stream) -> None:
        """The client has sent all of a stream."""
        stream.incomplete = False
        stream.read_by = _NEVER
        if not stream.over:
            if not stream.frames.is_between:
                raise Http3Error(Code.FRAME_ERROR, "a frame that the end of its stream cuts off")
            if stream.exchange is None:
                self._refuse(stream, Code.REQUEST_INCOMPLETE)
            elif stream.left > 0:
                self._refuse(stream, Code.MESSAGE_ERROR)
            else:
                stream.exchange.offer({"type": "http.request", "body": b"", "more_body": False})
        self._forget(stream)

    def _headers(self, stream: _Stream, block: bytes) -> None:
        fields = self._qpack.unpack(stream.id, block)
        if stream.exchange is not None:
            # Trailers: looked at, and passed over. The body is over with them.
            if not are_trailers(fields):
                self._refuse(stream, Code.MESSAGE_ERROR)
            return
        request = read_request(fields)
        if request is None:
            self._refuse(stream, Code.MESSAGE_ERROR)
            return
        if self._running >= self._listener.max_streams:
            # Those that were reset count until their calls have ended.
            self._refuse(stream, Code.REQUEST_REJECTED)
            return
        pseudo, headers = request
        if pseudo[b":method"] == b"CONNECT":
            self._answer(stream, _NOT_IMPLEMENTED)
            return
        self._begin(stream, pseudo, put_host(pseudo, headers))

    def _begin(
        self, stream: _Stream, pseudo: dict[bytes, bytes], headers: list[tuple[bytes, bytes]]
    ) -> None:
        connection, listener = self._connection, self._listener
        method = pseudo[b":method"]
        stream.head_only = method == b"HEAD"
        stream.left = next((int(value) for name, value in headers if name == b"content-length"), -1)
        stream.read_by = monotonic() + listener.options.read_timeout
        scope = make_scope(connection, "3", method, pseudo[b":path"], headers)
        scope["extensions"]["http.response.trailers"] = {}

        async def send(message: Any) -> None:
            await self._send(stream, message)

        async def taken(size: int) -> None:
            self._taken(stream, size)

        stream.exchange = Exchange(
            listener.calls, scope, send, logs=listener.access_log, taken=taken
        )
        self._open.add(stream)
        self._running += 1
        connection.set_idle(False)
        connection.spawn(self._run, stream.exchange)

    async def _run(self, exchange: Exchange) -> None:
        try:
            await exchange.run()
        finally:
            self._running -= 1
            self._settle()

    def _body_piece(self, stream: _Stream, piece: bytes) -> int:
        """Hand a piece of a body on; how much of it the application is to take."""
        size = len(piece)
        if stream.left >= 0:
            stream.left -= size
            if stream.left < 0:
                self._refuse(stream, Code.MESSAGE_ERROR)
                return 0
        assert stream.exchange is not None
        stream.unread += size
        stream.read_by = _NEVER
        stream.exchange.offer(
            {"type": "http.request", "body": piece, "more_body": True}, join=_JOINED
        )
        return size

    def _taken(self, stream: _Stream, size: int) -> None:
        """The application has taken so much: the client may send as much again."""
        if not size or stream.over:
            return
        stream.unread -= size
        self._quic.take(stream.id, size, widens=True)
        if stream.incomplete and not stream.unread and not stream.started:
            stream.read_by = monotonic() + self._listener.options.read_timeout
        self._connection.wake()

    def _reset_by_client(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._begin_stream(stream_id)
        stream.incomplete = False
        stream.unread = 0
        self._quic.take_rest(stream_id)
        self._refuse(stream, Code.REQUEST_CANCELLED)
        self._forget(stream)

    # What goes.

    def moved(self) -> None:
        """Some of what was sent may have arrived: make use of the room."""
        for stream in tuple(self._open):
            if stream.room is not None:
                if self._room(stream) > 0:
                    stream.room.set()
            elif stream.over and self._quic.is_delivered(stream.id):
                self._close(stream)

    async def _send(self, stream: _Stream, message: Any) -> None:
        """ASGI's ``send``; ``None`` says that the application has returned."""
        if stream.over:
            # A handler that does nothing but send has to notice that it was cancelled.
            await anyio.lowlevel.checkpoint()
        elif message is None:
            self._returned(stream)
        elif message["type"] == "http.response.start":
            self._start(stream, message)
        elif message["type"] == "http.response.body":
            await self._body(stream, message.get("body", b""), message.get("more_body", False))
        elif message["type"] == "http.response.trailers":
            self._trailers(stream, message)
        else:
            raise RuntimeError(f"no message {message['type']!r} over HTTP/3")

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
        left = memoryview(b"" if stream.head_only else body)
        last = not more and not stream.trailers
        begin = b""
        if stream.head is not None:
            stream.started = True
            stream.read_by = _NEVER  # a conversation may pause
            begin = self._block(stream, stream.head)
            stream.head = None
        if left:
            begin += frames.head(frames.DATA, len(left))
        self._write(stream, begin, end=last and not left)
        while left and not stream.over:
            room = self._room(stream)
            if room <= 0:
                await self._wait_for_room(stream)
                continue
            piece, left = left[:room], left[room:]
            self._write(stream, piece, end=last and not left)
        stream.give_up = _NEVER
        if stream.over:
            await anyio.lowlevel.checkpoint()
        elif last:
            self._complete(stream)
            await anyio.lowlevel.checkpoint_if_cancelled()
        else:
            await anyio.lowlevel.checkpoint()

    def _block(self, stream: _Stream, fields: list[tuple[bytes, bytes]]) -> bytes:
        return frames.frame(frames.HEADERS, self._qpack.pack(stream.id, fields))

    def _write(self, stream: _Stream, data: bytes | memoryview, *, end: bool = False) -> None:
        if data or end:
            self._quic.send_stream_data(stream.id, data, end)  # type: ignore[arg-type]
            self._connection.wake()

    def _room(self, stream: _Stream) -> int:
        """Bytes that may be kept of this answer at the moment, beside those that are."""
        most = max(_LEAST_KEPT, min(_KEPT, _KEPT_OF_ALL // len(self._open)))
        return most - self._quic.kept(stream.id)

    async def _wait_for_room(self, stream: _Stream) -> None:
        """Wait until the client has acknowledged some of what was sent."""
        self._watch(stream)
        stream.room = anyio.Event()
        await stream.room.wait()
        stream.room = None

    def _watch(self, stream: _Stream) -> None:
        """Give the client time to read, and more if it has read since."""
        acknowledged = self._quic.acknowledged(stream.id)
        if acknowledged - stream.acknowledged >= _PROGRESS or stream.give_up == _NEVER:
            stream.give_up = monotonic() + self._listener.options.write_timeout
            stream.acknowledged = acknowledged

    def _trailers(self, stream: _Stream, message: Any) -> None:
        if not stream.started:
            raise RuntimeError("trailers come before the body")
        if message.get("more_trailers", False):
            raise RuntimeError("all trailers have to come in one message")
        fields = sent_fields(message.get("headers", ()))
        self._write(stream, self._block(stream, fields) if fields else b"", end=True)
        self._complete(stream)

    def _returned(self, stream: _Stream) -> None:
        if stream.started:
            # An answer has begun and is not complete: a reset is the only honest end.
            self._end(stream, Code.INTERNAL_ERROR)
        else:
            self._answer(stream, 500)

    def _answer(self, stream: _Stream, status: int) -> None:
        """An answer of which the application knows nothing."""
        fields = answer_fields(status, self._listener.complete([(b"content-length", b"0")]))
        self._write(stream, self._block(stream, fields), end=True)
        self._open.add(stream)
        self._complete(stream)

    def _complete(self, stream: _Stream) -> None:
        """The answer is whole, and the rest of the request is not wanted."""
        self._stop(stream, Code.NO_ERROR)
        self._watch(stream)
        self._release(stream)

    def _refuse(self, stream: _Stream, code: Code) -> None:
        """Give a stream up because of the client, whichever side says so first."""
        if not stream.over:
            self._resets.spend("streams that are reset", monotonic())
            self._end(stream, code)

    def _end(self, stream: _Stream, code: Code) -> None:
        """Give a stream up, in both directions."""
        if stream.over:
            return
        self._quic.reset_stream(stream.id, code)
        self._stop(stream, code)
        self._release(stream)
        self._open.discard(stream)
        if stream.exchange is not None:
            stream.exchange.disconnect()
        self._settle()

    def _stop(self, stream: _Stream, code: Code) -> None:
        """Ask the client to send no more of a request."""
        if stream.incomplete:
            self._quic.stop_stream(stream.id, code)

    def _release(self, stream: _Stream) -> None:
        """Nobody waits for the rest; what the application has not taken no longer counts."""
        stream.over = True
        stream.read_by = _NEVER
        if stream.unread:
            self._quic.take(stream.id, stream.unread)
            stream.unread = 0
        if stream.room is not None:
            stream.room.set()
        self._connection.wake()
        self._forget(stream)

    def _close(self, stream: _Stream) -> None:
        """The client has the whole answer."""
        self._open.discard(stream)
        self._settle()

    def _forget(self, stream: _Stream) -> None:
        """Let go of a stream of which nothing more can come."""
        if stream.over and not stream.incomplete:
            self._quic.forget(stream.id)
            self._streams.pop(stream.id, None)

    def _settle(self) -> None:
        """The connection is idle once no call runs and all answers are delivered."""
        if not self._open and not self._running:
            self._connection.set_idle(True)
            if self._refusing:
                self._connection.leave()

    def _say(self, data: bytes) -> None:
        self._quic.send_stream_data(self._control, data)
        self._connection.wake()

    # Timeouts and ends.

    def is_due(self, now: float) -> bool:
        """Whether one of the times of its streams has passed."""
        return now >= self._last_call or any(
            now >= each.read_by or now >= each.give_up
            for each in (*self._streams.values(), *self._open)
        )

    def expire(self, now: float) -> None:
        """Give up on those that have not come or not read in time."""
        for stream in {*self._streams.values(), *self._open}:
            if now >= stream.read_by:
                self._end(stream, Code.REQUEST_INCOMPLETE)
            elif now >= stream.give_up:
                self._overdue(stream)
        if now >= self._last_call:
            self.leave()

    def _overdue(self, stream: _Stream) -> None:
        self._watch(stream)
        if monotonic() < stream.give_up:
            return
        stream.give_up = _NEVER
        if stream.over:
            # The answer is whole, and its end does not arrive.
            self._quic.reset_stream(stream.id, Code.REQUEST_CANCELLED)
            self._close(stream)
        else:
            self._end(stream, Code.REQUEST_CANCELLED)

    def drain(self, now: float) -> None:
        """Ask the client to send no more requests; those that are under way may still come."""
        if self._control >= 0 and self._last_call == _NEVER:
            self._say(frames.frame(frames.GOAWAY, frames.varint(_LAST_STREAM)))
            self._last_call = now + self._listener.options.linger

    def leave(self) -> None:
        """Take no more requests, and end the connection once those that were are answered."""
        self._last_call = _NEVER
        if not self._refusing:
            self._refusing = True
            if self._control >= 0:
                self._say(frames.frame(frames.GOAWAY, frames.varint(self._next)))
        if not self._open and not self._running:
            self._connection.leave()

    def gone(self) -> None:
        """The client is no longer there."""
        for stream in tuple(self._open):
            stream.over = True
            if stream.room is not None:
                stream.room.set()
            if stream.exchange is not None:
                stream.exchange.disconnect()
        self._open.clear()
        self._streams.clear()
