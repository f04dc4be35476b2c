"""Bytes to messages: websockets' frames, and the limits that RFC 6455 leaves to whoever reads them."""

from __future__ import annotations

import codecs
import logging
import zlib
from collections.abc import Generator
from time import monotonic
from typing import Final

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension, parse_extension
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.streams import StreamReader
from websockets.typing import ExtensionHeader

from covet_http import ChannelLimits
from covet_hypercorn._budget import Budget, FloodError

_quiet = logging.getLogger("covet.hypercorn.frames")
# Each opening and closing is told by the access log, once.
_quiet.setLevel(logging.ERROR)

_NEVER: Final = float("inf")
# The library counts control frames, which may come in the middle of a message, against what is left
# of that message.
_CONTROL: Final = 125
_PERIOD: Final = 10.0
_DEFLATE: Final = "permessage-deflate"
_LONGEST_OFFER: Final = 1024
_TAIL: Final = 4
# The first byte of a frame, and the length that says that a longer one follows (RFC 6455, 5.2).
_FINAL: Final = 0x80
_COMPRESSED: Final = 0x40
_SHORT: Final = 126
_TOO_BIG: Final = 1009
_POLICY: Final = 1008
_PROTOCOL: Final = 1002
_INVALID: Final = 1007
_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)

Text = str | bytes


class _Reader(StreamReader):
    """Knows whether a frame has begun.

    Attributes:
        between: Whether none has.
    """

    between = True

    def at_eof(self) -> Generator[None, None, bool]:
        self.between = True
        ended = yield from super().at_eof()
        self.between = False
        return ended


class _Protocol(Protocol):
    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            # A message may stay unfinished (RFC 6455, 5.4), which the library takes for a broken rule.
            self.current_size = None
        super().recv_frame(frame)


class Framing:
    """One WebSocket's bytes, without any I/O.

    `receive` takes what has come and leaves `messages` and `pongs`; what has to be sent for that is in
    `pending`. The end is in `closed`.

    Attributes:
        messages: Whole ones that have come, in their order.
        pongs: What was in pongs.
        closed: Code and reason, once a close frame has come or the peer has broken a rule.
        flood: Of what there was so much that it has ended, if it has.
        complete: Whether both sides have sent a close frame, so that nothing more will come.
        due: When a message that has begun has to be whole, on `monotonic`'s clock.
    """

    def __init__(self, limits: ChannelLimits, deflate: Extension | None) -> None:
        self._protocol = _Protocol(
            SERVER, state=OPEN, max_size=limits.max_message_bytes + _CONTROL, logger=_quiet
        )
        self._reader = self._protocol.reader = _Reader()
        # It has begun to wait for the reader that it made itself.
        self._protocol.parser = self._protocol.parse()
        next(self._protocol.parser)
        if deflate is not None:
            self._protocol.extensions = [deflate]
        self._limits = limits
        self._budget = Budget(
            limits.max_control_frames, limits.max_control_frames / _PERIOD, monotonic()
        )
        self.messages: list[Text] = []
        self.pongs: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.complete = False
        self.flood = ""
        self.due = _NEVER
        self._parts: list[str] | list[bytes] = []
        self._decoder: codecs.IncrementalDecoder | None = None
        self._fragments = 0
        self._size = 0

    def receive(self, data: bytes) -> None:
        """Take bytes that have come."""
        protocol = self._protocol
        if self.closed is not None and self._failed:
            return
        protocol.receive_data(data)
        try:
            for frame in protocol.events_received():
                assert isinstance(frame, Frame)
                self._take(frame)
                if self.closed is not None:
                    break
        except FloodError as flood:
            self.flood = str(flood)
            self.fail(_POLICY, "too many control frames")
        if self.closed is None and protocol.parser_exc is not None:
            # The library has found something wrong, and said so unless we had closed already.
            self._failed = True
            sent = protocol.close_sent
            self.closed = (_PROTOCOL, "") if sent is None else (int(sent.code), sent.reason)
        begun = self._fragments or not self._reader.between
        if not begun or self.closed is not None:
            self.due = _NEVER
        elif self.due == _NEVER or self._renewed:
            self.due = monotonic() + self._limits.message_timeout
        self._renewed = False

    _failed = False
    _renewed = False

    def _take(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode in _DATA:
            if not frame.data and not frame.fin:
                self._budget.spend("empty fragments", monotonic())
            self._data(frame)
        elif opcode is Opcode.CLOSE:
            self.complete = True
            received = self._protocol.close_rcvd
            assert received is not None
            self.closed = int(received.code), received.reason
        else:
            self._budget.spend("control frames", monotonic())
            if opcode is Opcode.PONG:
                self.pongs.append(bytes(frame.data))

    def _data(self, frame: Frame) -> None:
        self._size += len(frame.data)
        if self._size > self._limits.max_message_bytes:
            self.fail(_TOO_BIG, "the message is too long")
            return
        if frame.opcode is not Opcode.CONT and frame.fin:
            # Nearly every message.
            self._size = 0
            self._renewed = True
            if frame.opcode is Opcode.TEXT:
                try:
                    self.messages.append(str(frame.data, "utf-8"))
                except UnicodeDecodeError:
                    self.fail(_INVALID, "text is UTF-8")
            else:
                self.messages.append(bytes(frame.data))
            return
        self._fragment(frame)

    def _fragment(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._decoder = None
            if frame.opcode is Opcode.TEXT:
                self._decoder = codecs.getincrementaldecoder("utf-8")()
            self._parts = []
        self._fragments += 1
        if self._fragments > self._limits.max_fragments:
            self.fail(_TOO_BIG, "the message has too many fragments")
            return
        if self._decoder is None:
            self._parts.append(bytes(frame.data))  # type: ignore[arg-type]
        else:
            try:
                self._parts.append(self._decoder.decode(bytes(frame.data), frame.fin))  # type: ignore[arg-type]
            except UnicodeDecodeError:
                self.fail(_INVALID, "text is UTF-8")
                return
        if frame.fin:
            parts, self._parts = self._parts, []
            empty = b"" if self._decoder is None else ""
            self.messages.append(empty.join(parts))  # type: ignore[arg-type]
            self._fragments = self._size = 0
            self._renewed = True

    # What is sent.

    def close(self, code: int, reason: str) -> None:
        """Begin to close, unless that has begun."""
        if self._protocol.close_sent is None and self._protocol.state is OPEN:
            self._protocol.send_close(code, reason)

    def fail(self, code: int, reason: str) -> None:
        """The peer has broken a rule: say so, and take nothing more of it."""
        if self.closed is None:
            self.closed = code, reason
        self._failed = True
        self._parts = []
        self._protocol.fail(code, reason)

    def too_slow(self) -> None:
        """The rest of a message has not come in time."""
        self.due = _NEVER
        self.fail(_PROTOCOL, "the message did not arrive in time")

    def ping(self, payload: bytes) -> None:
        """Send a ping."""
        self._protocol.send_ping(payload)

    @property
    def pending(self) -> bytes:
        """What has to be sent: pongs, pings, and the close frame."""
        return b"".join(self._protocol.data_to_send())


def encoded(message: Text, limits: ChannelLimits, *, bits: int) -> bytes:
    """A message as one frame, compressed by itself where that is worth it.

    Nothing of an earlier message is referred to, so that the same bytes do for every receiver of its window.

    Args:
        message: Text or bytes.
        limits: Which messages are worth it.
        bits: Of the window in which repetitions are looked for; 0: none are.
    """
    first = _FINAL | (Opcode.TEXT if isinstance(message, str) else Opcode.BINARY)
    data = message.encode() if isinstance(message, str) else message
    if bits and len(data) >= limits.compress_from:
        compressor = zlib.compressobj(wbits=-bits)
        data = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        first, data = first | _COMPRESSED, data[:-_TAIL]
    size = len(data)
    if size < _SHORT:
        return b"%c%c%b" % (first, size, data)
    if size < 1 << 16:
        return b"%c%c%b%b" % (first, _SHORT, size.to_bytes(2, "big"), data)
    return b"%c%c%b%b" % (first, _SHORT + 1, size.to_bytes(8, "big"), data)


def negotiate(offers: bytes) -> tuple[PerMessageDeflate | None, bytes]:
    """Choose how messages are compressed, of what a client offers.

    Both sides begin anew with each message, so that a WebSocket holds no window while nothing comes.

    Args:
        offers: The value of ``Sec-WebSocket-Extensions``.

    Returns:
        What decompresses, and the answer's value; ``None`` and nothing where no offer fits.
    """
    if len(offers) > _LONGEST_OFFER:
        return None, b""
    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=True, client_no_context_takeover=True
    )
    try:
        found = parse_extension(offers.decode("latin-1"))
    except InvalidHeader:
        return None, b""
    for name, parameters in found:
        if name != _DEFLATE:
            continue
        try:
            chosen, extension = factory.process_request_params(parameters, [])
        except NegotiationError:
            continue
        answer: ExtensionHeader = (name, chosen)
        return extension, build_extension([answer]).encode("ascii")
    return None, b""
