"""The frames of HTTP/3 (RFC 9114, 7): from the bytes of a stream, and to them.

Nothing is kept but a block of headers that is not yet whole. What nobody knows is passed over as it
comes, up to a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final

DATA: Final = 0x0
HEADERS: Final = 0x1
CANCEL_PUSH: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
GOAWAY: Final = 0x7
MAX_PUSH_ID: Final = 0xD
# Kinds of HTTP/2 that have no place here.
_OF_HTTP2: Final = frozenset((0x2, 0x6, 0x8, 0x9))
_NOT_IN_REQUESTS: Final = _OF_HTTP2 | {CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID}
_NOT_IN_CONTROL: Final = _OF_HTTP2 | {DATA, HEADERS, PUSH_PROMISE}
_SETTINGS_OF_HTTP2: Final = frozenset((0x0, 0x2, 0x3, 0x4, 0x5))

CONTROL_STREAM: Final = 0x0
PUSH_STREAM: Final = 0x1
ENCODER_STREAM: Final = 0x2
DECODER_STREAM: Final = 0x3

QPACK_MAX_TABLE_CAPACITY: Final = 0x1
MAX_FIELD_SECTION_SIZE: Final = 0x6
QPACK_BLOCKED_STREAMS: Final = 0x7

# Bytes of one request's frames that are neither its headers nor its body.
_MOST_UNKNOWN: Final = 16 * 1024
# The frames of the control stream of which something is to be understood are short.
_LONGEST_CONTROL: Final = 4096


class Code(IntEnum):
    """Why a stream or a connection ends (RFC 9114, 8.1; RFC 9204, 6)."""

    NO_ERROR = 0x100
    GENERAL_PROTOCOL_ERROR = 0x101
    INTERNAL_ERROR = 0x102
    STREAM_CREATION_ERROR = 0x103
    CLOSED_CRITICAL_STREAM = 0x104
    FRAME_UNEXPECTED = 0x105
    FRAME_ERROR = 0x106
    EXCESSIVE_LOAD = 0x107
    ID_ERROR = 0x108
    SETTINGS_ERROR = 0x109
    MISSING_SETTINGS = 0x10A
    REQUEST_REJECTED = 0x10B
    REQUEST_CANCELLED = 0x10C
    REQUEST_INCOMPLETE = 0x10D
    MESSAGE_ERROR = 0x10E
    QPACK_DECOMPRESSION_FAILED = 0x200
    QPACK_ENCODER_STREAM_ERROR = 0x201
    QPACK_DECODER_STREAM_ERROR = 0x202


class Http3Error(Exception):
    """The client breaks the protocol, and the connection has to end.

    Attributes:
        code: What it is told.
    """

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class TooLargeError(Exception):
    """A block of headers is longer than any that is taken."""


def varint(value: int) -> bytes:
    """A number as QUIC writes it (RFC 9000, 16)."""
    if value < 0x40:
        return bytes((value,))
    if value < 0x4000:
        return (value | 0x4000).to_bytes(2, "big")
    if value < 0x4000_0000:
        return (value | 0x8000_0000).to_bytes(4, "big")
    return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")


def read_varint(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A number and where it ends, ``None`` if it is not whole."""
    if at >= len(data):
        return None
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        return None
    value = int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1)
    return value, at + size


def head(kind: int, length: int) -> bytes:
    """What a frame begins with."""
    return varint(kind) + varint(length)


def frame(kind: int, payload: bytes) -> bytes:
    """A whole frame."""
    return head(kind, len(payload)) + payload


def settings(values: dict[int, int]) -> bytes:
    """The frame with which a control stream begins."""
    payload = b"".join(varint(name) + varint(value) for name, value in values.items())
    return frame(SETTINGS, payload)


class _Frames:
    """Cuts bytes into frames: the part that requests and control streams have in common."""

    __slots__ = ("_kept", "_kind", "_left")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._kind = -1  # between two frames
        self._left = 0

    @property
    def is_between(self) -> bool:
        """Whether no frame is open."""
        return self._kind < 0 and not self._kept

    def _head(self, data: bytes, at: int) -> int:
        """Read on in a frame's head; where it ends, or -1."""
        begun = len(self._kept)
        self._kept += data[at : at + 16 - begun]
        kind = read_varint(self._kept, 0)
        length = kind and read_varint(self._kept, kind[1])
        if not kind or not length:
            return -1
        self._kept.clear()
        self._kind, self._left = kind[0], length[0]
        return at + length[1] - begun


class RequestFrames(_Frames):
    """The frames of a request.

    Args:
        longest: Bytes of a block of headers, as it is sent.
        on_nothing: Called for each frame that carries nothing.
    """

    __slots__ = ("_blocks", "_longest", "_on_nothing", "_unknown")

    def __init__(self, longest: int, on_nothing: Callable[[], None]) -> None:
        super().__init__()
        self._longest = longest
        self._on_nothing = on_nothing
        self._blocks = 0
        self._unknown = 0

    @property
    def has_begun(self) -> bool:
        """Whether the headers have come."""
        return self._blocks > 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """What comes of these bytes: ``HEADERS`` with a whole block, ``DATA`` with some of a body.

        Raises:
            Http3Error: Something is out of place.
            TooLargeError: A block of headers is too long.
        """
        at, size = 0, len(data)
        while at < size:
            if self._kind < 0:
                at = self._head(data, at)
                if at < 0:
                    return
                self._judge()
            step = min(self._left, size - at)
            piece = data[at : at + step]
            at += step
            self._left -= step
            if self._kind == HEADERS:
                self._kept += piece
                if not self._left:
                    self._blocks += 1
                    yield HEADERS, bytes(self._kept)
                    self._kept.clear()
            elif self._kind == DATA:
                if piece:
                    yield DATA, piece
            else:
                self._pass_over(step)
            if not self._left:
                self._kind = -1

    def _judge(self) -> None:
        kind = self._kind
        if kind in _NOT_IN_REQUESTS:
            raise Http3Error(Code.FRAME_UNEXPECTED, "a frame that is not for requests")
        if kind == HEADERS:
            if self._blocks == 2:
                raise Http3Error(Code.FRAME_UNEXPECTED, "headers behind the trailers")
            if self._left > self._longest:
                raise TooLargeError
        elif kind == DATA:
            if self._blocks != 1:
                raise Http3Error(
                    Code.FRAME_UNEXPECTED, "a body without headers, or behind trailers"
                )
            if not self._left:
                self._on_nothing()
        else:
            self._on_nothing()

    def _pass_over(self, step: int) -> None:
        self._unknown += step
        if self._unknown > _MOST_UNKNOWN:
            raise Http3Error(Code.EXCESSIVE_LOAD, "long frames that nobody knows")


class ControlFrames(_Frames):
    """The frames of a client's control stream.

    Args:
        on_frame: Called for each frame after the settings.
    """

    __slots__ = ("_most_pushes", "_on_frame", "settings")

    def __init__(self, on_frame: Callable[[], None]) -> None:
        super().__init__()
        self._on_frame = on_frame
        self._most_pushes = 0
        self.settings: dict[int, int] | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes.

        Raises:
            Http3Error: Something is out of place.
        """
        at, size = 0, len(data)
        while at < size or self._kind >= 0:
            if self._kind < 0:
                at = self._head(data, at)
                if at < 0:
                    return
                self._judge()
            step = min(self._left, size - at)
            if self._kind in (SETTINGS, MAX_PUSH_ID, GOAWAY, CANCEL_PUSH):
                self._kept += data[at : at + step]
            at += step
            self._left -= step
            if self._left:
                return
            self._take(bytes(self._kept))
            self._kept.clear()
            self._kind = -1

    def _judge(self) -> None:
        kind = self._kind
        if self.settings is None and kind != SETTINGS:
            raise Http3Error(Code.MISSING_SETTINGS, "a control stream without settings")
        if kind in _NOT_IN_CONTROL or (kind == SETTINGS and self.settings is not None):
            raise Http3Error(Code.FRAME_UNEXPECTED, "a frame that is not for control streams")
        if self.settings is not None:
            self._on_frame()
        known = kind in (SETTINGS, MAX_PUSH_ID, GOAWAY, CANCEL_PUSH)
        if self._left > (_LONGEST_CONTROL if known else _MOST_UNKNOWN):
            raise Http3Error(Code.EXCESSIVE_LOAD, "a long frame on the control stream")

    def _take(self, payload: bytes) -> None:
        if self._kind == SETTINGS:
            self.settings = _read_settings(payload)
        elif self._kind in (MAX_PUSH_ID, GOAWAY, CANCEL_PUSH):
            found = read_varint(payload, 0)
            if found is None or found[1] != len(payload):
                raise Http3Error(Code.FRAME_ERROR, "a frame of another length than its content")
            if self._kind == CANCEL_PUSH:
                raise Http3Error(Code.ID_ERROR, "nothing is pushed that could be cancelled")
            if self._kind == MAX_PUSH_ID:
                if found[0] < self._most_pushes:
                    raise Http3Error(Code.ID_ERROR, "fewer pushes than were allowed before")
                self._most_pushes = found[0]


def _read_settings(payload: bytes) -> dict[int, int]:
    values: dict[int, int] = {}
    at = 0
    while at < len(payload):
        name = read_varint(payload, at)
        value = name and read_varint(payload, name[1])
        if not name or not value:
            raise Http3Error(Code.FRAME_ERROR, "settings that are cut off")
        at = value[1]
        if name[0] in values or name[0] in _SETTINGS_OF_HTTP2:
            raise Http3Error(Code.SETTINGS_ERROR, "a setting twice, or one of HTTP/2")
        values[name[0]] = value[0]
    return values
