"""Counts the frames of an HTTP/2 connection, and says when they are no conversation but a flood.

Each of them is cheap to send and costs the receiver work, memory or an answer. h2 limits some of it;
what it does not is counted here, from nothing but the nine bytes each frame begins with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from covet_hypercorn._budget import (
    BYTES_A_WINDOW,
    CONTROL,
    RESETS,
    WINDOWS,
    WINDOWS_A_STREAM,
    Budget,
    FloodError,
)

_PREFACE: Final = 24
_HEADER: Final = 9
_DATA, _HEADERS, _PRIORITY, _RST, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(
    10
)
_ACK = END_STREAM = 0x1
_END_HEADERS = 0x4
# RFC 9113 (4.2): what may be sent to us, since we announce nothing else.
_MAX_FRAME: Final = 16_384
_MOST_CONTINUATIONS: Final = 16


class FrameGuard:
    """Looks at the frames of one connection as they come and go.

    Args:
        max_header_bytes: Of one block of headers as it is sent, compressed.
        clock: Seconds that never go back.
    """

    def __init__(self, max_header_bytes: int, clock: Callable[[], float]) -> None:
        self._max_block = max_header_bytes
        self._clock = clock
        now = clock()
        self._resets = Budget(*RESETS, now)
        self._control = Budget(*CONTROL, now)
        self._windows = Budget(*WINDOWS, now)
        self._skip = _PREFACE
        self._head = b""
        self._block = 0
        self._continuations = -1  # no block of headers is open

    def received(self, data: bytes) -> None:
        """Look at what the client has sent.

        Raises:
            FloodError: It is too much.
        """
        at, size = 0, len(data)
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
                continue
            need = _HEADER - len(self._head)
            self._head += data[at : at + need]
            at += need
            if len(self._head) < _HEADER:
                return
            head, self._head = self._head, b""
            self._skip = int.from_bytes(head[:3], "big")
            if self._skip > _MAX_FRAME:
                raise FloodError("a frame over the announced size")
            self._frame(head[3], head[4], self._skip)

    def sent(self, data: bytes) -> None:
        """Look at whole frames that are about to leave.

        Raises:
            FloodError: The client makes the server reset one stream after the other.
        """
        at = 0
        while at + _HEADER <= len(data):
            length, kind = int.from_bytes(data[at : at + 3], "big"), data[at + 3]
            if kind == _RST:
                self._resets.spend("streams that are reset", self._clock())
            elif kind == _DATA:
                self._windows.earn(length / BYTES_A_WINDOW)
            at += _HEADER + length

    def _frame(self, kind: int, flags: int, length: int) -> None:
        if kind in (_HEADERS, _PUSH, _CONTINUATION):
            self._header_block(kind, flags, length)
        elif kind == _RST:
            self._resets.spend("streams that are reset", self._clock())
        elif kind == _WINDOW:
            self._windows.spend("windows opened in small steps", self._clock())
        elif kind == _DATA:
            if not length and not flags & END_STREAM:
                self._control.spend("empty frames", self._clock())
        elif not (kind in (_SETTINGS, _PING) and flags & _ACK):
            # PRIORITY, SETTINGS, PING, GOAWAY, and kinds that nobody knows.
            self._control.spend("frames without content", self._clock())

    def _header_block(self, kind: int, flags: int, length: int) -> None:
        if kind != _CONTINUATION:
            self._block, self._continuations = 0, 0
            self._windows.earn(WINDOWS_A_STREAM)
        else:
            self._continuations += 1
        self._block += length
        if self._block > self._max_block or self._continuations > _MOST_CONTINUATIONS:
            raise FloodError("a block of headers without an end")
        if flags & _END_HEADERS:
            self._block, self._continuations = 0, -1
