"""One QUIC connection: aioquic's, with windows that open as what has come is taken, and with budgets.

aioquic opens a window further as soon as half of it has been used, whoever has or has not taken what
came, and counts no frames. Both are changed here and nowhere else, by overriding methods of its that
are not public: so `_KNOWN` names them, and an aioquic without them is refused when it is imported.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any, Final

from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    CONNECTION_LIMIT_FRAME_CAPACITY,
    END_STATES,
    MAX_STREAM_DATA_FRAME_CAPACITY,
    QuicConnection,
    QuicConnectionError,
    QuicConnectionState,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream

from covet_hypercorn._budget import BYTES_A_WINDOW, CONTROL, WINDOWS, Budget, FloodError
from covet_hypercorn._h3_frames import Code

# What a client may have sent of one stream that nobody has taken: to begin with, and once some has
# been taken; what there is for all beyond their beginnings.
FIRST_WINDOW: Final = 16_384
STREAM_WINDOW: Final = 262_144
SHARED_WINDOW: Final = 1 << 20
# Its control stream, both of QPACK's, and some that nobody knows.
_UNI_STREAMS: Final = 8
# Windows are opened in steps of this part of them.
_STEPS: Final = 4
# The longest that a frame of a stream is without any content, its type apart.
_EMPTY_FRAME: Final = 24


class _OnlyWhenDebugging(logging.Filter):
    """Keeps aioquic's log, into which clients write, out of ours unless somebody looks for errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not logging.getLogger("covet.hypercorn").isEnabledFor(logging.DEBUG):
            return False
        record.msg, record.args = ascii(record.getMessage()), None
        return True


logging.getLogger("quic").addFilter(_OnlyWhenDebugging())


def connection_window(max_streams: int) -> int:
    """What all streams may have sent that nobody has taken.

    In HTTP/3 headers count too. So it is as much as all streams of a connection can have sent at
    worst: however many of them nobody reads, another request comes through.
    """
    return FIRST_WINDOW * (max_streams + _UNI_STREAMS) + SHARED_WINDOW


def _counted(name: str) -> Any:
    """Aioquic's method for a frame that asks for work and carries nothing."""

    def handle(self: Quic, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        self.spend(self.control, "frames without content")
        getattr(super(Quic, self), name)(context, frame_type, buf)

    return handle


def _window(name: str) -> Any:
    """Aioquic's method for a frame that opens a window."""

    def handle(self: Quic, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        self.spend(self.windows, "windows opened in small steps")
        getattr(super(Quic, self), name)(context, frame_type, buf)

    return handle


class Quic(QuicConnection):
    """The server's side of one connection.

    Args:
        configuration: Certificates and limits, the same for all connections.
        max_streams: Requests that may be open at once.
        original: The connection ID that the client has chosen first.
        retried: The one it was given by a Retry.

    Attributes:
        flood: Of what the connection has ended, if it has.
        control: What the client may still ask for without saying anything.
        windows: How often it may still open a window.
    """

    def __init__(
        self,
        configuration: QuicConfiguration,
        max_streams: int,
        original: bytes,
        retried: bytes | None = None,
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original,
            retry_source_connection_id=retried,
        )
        for limit, most in (
            (self._local_max_streams_bidi, max_streams),
            (self._local_max_streams_uni, _UNI_STREAMS),
        ):
            limit.value = limit.sent = most
        now = monotonic()
        self.control = Budget(*CONTROL, now)
        self.windows = Budget(*WINDOWS, now)
        self.flood = ""
        self._taken: dict[int, int] = {}
        self._windows: dict[int, int] = {}
        self._shared = SHARED_WINDOW
        self._owed = 0
        self._step = connection_window(max_streams) // _STEPS
        self._acks = 0

    @property
    def has_begun(self) -> bool:
        """Whether anything has come that could be read."""
        return self._state is not QuicConnectionState.FIRSTFLIGHT

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, or nothing but the word of it is still to be sent."""
        return self._state in END_STATES

    @property
    def may_answer(self) -> bool:
        """Whether the client has shown where it is, or has been sent little enough."""
        return not self._network_paths or self._network_paths[0].can_send(0)

    @property
    def silence(self) -> float:
        """Seconds after which a side that has heard nothing takes the other to be gone."""
        return self._idle_timeout()

    def spend(self, budget: Budget, what: str) -> None:
        """Take one out of a budget; end the connection if there is none left."""
        try:
            budget.spend(what, monotonic())
        except FloodError as flood:
            self.flood = str(flood)
            # Without the type of a frame, so that it is the application's error, as HTTP/3 has it.
            raise QuicConnectionError(Code.EXCESSIVE_LOAD, None, str(flood)) from None  # type: ignore[arg-type]

    # What comes.

    def take(self, stream_id: int, size: int, *, widens: bool = False) -> None:
        """So much of a stream is dealt with: the client may send as much again.

        Args:
            stream_id: Of the stream.
            size: In bytes.
            widens: It is known by now that somebody takes what comes: the client may be ahead of
                them by more than to begin with, if there is more for this stream.
        """
        self._credit(size)
        stream = self._streams.get(stream_id)
        if stream is None or stream.receiver.is_finished:
            return
        taken = self._taken[stream_id] = self._taken.get(stream_id, 0) + size
        window = self._windows.get(stream_id, FIRST_WINDOW)
        if widens:
            window = self._widen(stream_id, window)
        if taken + window - stream.max_stream_data_local >= window // _STEPS:
            stream.max_stream_data_local = taken + window

    def _widen(self, stream_id: int, window: int) -> int:
        more = min(STREAM_WINDOW - window, self._shared)
        if more > 0:
            self._shared -= more
            self._windows[stream_id] = window + more
        return window + more

    def take_rest(self, stream_id: int) -> None:
        """The client has given a stream up: what it has sent and nobody got counts as dealt with."""
        stream = self._streams.get(stream_id)
        taken = self._taken.pop(stream_id, 0)
        if stream is not None:
            self._credit(stream.receiver.highest_offset - taken)

    def forget(self, stream_id: int) -> None:
        """Nothing more is to come or to be taken of a stream."""
        self._taken.pop(stream_id, None)
        self._shared += self._windows.pop(stream_id, FIRST_WINDOW) - FIRST_WINDOW

    def _credit(self, size: int) -> None:
        self._owed += size
        if self._owed >= self._step:
            self._local_max_data.value += self._owed
            self._owed = 0

    # What goes.

    def kept(self, stream_id: int) -> int:
        """Bytes of a stream that are kept because the client has not acknowledged them."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else len(stream.sender._buffer)

    def acknowledged(self, stream_id: int) -> int:
        """Bytes of a stream that the client has acknowledged."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.sender._buffer_start

    def is_delivered(self, stream_id: int) -> bool:
        """Whether the client has all of a stream that has ended."""
        stream = self._streams.get(stream_id)
        return stream is None or stream.sender.is_finished

    # aioquic's, overridden.

    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        limit = stream.max_stream_data_local
        if limit == stream.max_stream_data_local_sent or stream.receiver.is_finished:
            return
        frame = builder.start_frame(
            QuicFrameType.MAX_STREAM_DATA,
            capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
            handler=self._on_max_stream_data_delivery,
            handler_args=(stream,),
        )
        frame.push_uint_var(stream.stream_id or 0)
        frame.push_uint_var(limit)
        stream.max_stream_data_local_sent = limit

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        data = self._local_max_data
        for limit in (data, self._local_max_streams_bidi, self._local_max_streams_uni):
            more, left = limit.value - limit.sent, limit.sent - limit.used
            # A client that may still open as many streams as this would add can wait for it.
            if not more or (limit is not data and left >= more):
                continue
            frame = builder.start_frame(
                limit.frame_type,
                capacity=CONNECTION_LIMIT_FRAME_CAPACITY,
                handler=self._on_connection_limit_delivery,
                handler_args=(limit,),
            )
            frame.push_uint_var(limit.value)
            limit.sent = limit.value

    def _payload_received(
        self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False
    ) -> tuple[bool, bool]:
        self._acks = 0
        return super()._payload_received(context, plain, crypto_frame_required)

    def _handle_ack_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        # One in a packet is how it should be, and each packet costs the client one.
        if self._acks:
            self.spend(self.control, "acknowledgements")
        self._acks += 1
        super()._handle_ack_frame(context, frame_type, buf)

    def _handle_stream_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        used, began = self._local_max_data.used, buf.tell()
        super()._handle_stream_frame(context, frame_type, buf)
        if (
            self._local_max_data.used == used
            and buf.tell() - began <= _EMPTY_FRAME
            and not frame_type & 1
        ):
            self.spend(self.control, "frames without content")

    def _write_stream_frame(
        self,
        builder: QuicPacketBuilder,
        space: QuicPacketSpace,
        stream: QuicStream,
        max_offset: int,
    ) -> int:
        used = super()._write_stream_frame(builder, space, stream, max_offset)
        self.windows.earn(used / BYTES_A_WINDOW)
        return used

    _handle_ping_frame = _counted("_handle_ping_frame")
    _handle_reset_stream_frame = _counted("_handle_reset_stream_frame")
    _handle_stop_sending_frame = _counted("_handle_stop_sending_frame")
    _handle_crypto_frame = _counted("_handle_crypto_frame")
    _handle_max_streams_bidi_frame = _counted("_handle_max_streams_bidi_frame")
    _handle_max_streams_uni_frame = _counted("_handle_max_streams_uni_frame")
    _handle_data_blocked_frame = _counted("_handle_data_blocked_frame")
    _handle_stream_data_blocked_frame = _counted("_handle_stream_data_blocked_frame")
    _handle_streams_blocked_frame = _counted("_handle_streams_blocked_frame")
    _handle_new_connection_id_frame = _counted("_handle_new_connection_id_frame")
    _handle_retire_connection_id_frame = _counted("_handle_retire_connection_id_frame")
    _handle_path_challenge_frame = _counted("_handle_path_challenge_frame")
    _handle_path_response_frame = _counted("_handle_path_response_frame")
    _handle_max_data_frame = _window("_handle_max_data_frame")
    _handle_max_stream_data_frame = _window("_handle_max_stream_data_frame")


_KNOWN: Final = (
    "_idle_timeout",
    "_on_connection_limit_delivery",
    "_on_max_stream_data_delivery",
    *(name for name in vars(Quic) if name.startswith(("_handle_", "_write_", "_payload_"))),
)
for _name in _KNOWN:
    if not hasattr(QuicConnection, _name):
        raise ImportError(f"this version of aioquic has no {_name}")
