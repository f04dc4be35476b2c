"""Splitting ``multipart/form-data`` into parts: bytes in, events out, no I/O (RFC 2046, 5.1.1)."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from covet_http._problem import Malformed

# Before the first part and behind the last: nobody sends it, RFC 2046 allows it.
_MAX_OUTSIDE: Final = 1024
# Blanks between a boundary and the end of its line, for gateways that add some.
_MAX_PADDING: Final = 64
# What `whole` looks through; more would be looked through twice where a part is not whole.
_SMALL: Final = 4096
_LINE_END: Final = b"\r\n"


class Mark(Enum):
    """Events that carry nothing."""

    PART_END = "the part is complete"
    FORM_END = "the form is complete"


Headers: TypeAlias = list[bytes]
"""A part begins: its header lines as they came, without their ends."""
Event: TypeAlias = Headers | bytes | Mark
"""Header lines, a piece of the part's content, or a mark."""


class _State(Enum):
    BEFORE = 0  # the first boundary
    LINE = 1  # behind a boundary, which the rest of its line decides about
    HEADERS = 2  # at the line end before the first header
    START = 3  # at the line end before the content
    CONTENT = 4
    BEHIND = 5  # the last boundary


class MultipartParser:
    """One form's parts. `feed` it bytes, then take events by `next` until there is none.

    Any split of the same bytes gives the same events, but for where content is cut. What is kept
    between two pieces is at most one boundary, or one part's headers.

    Args:
        boundary: From ``Content-Type``.
        max_headers: Header lines of a part.
        max_header_bytes: The header lines of a part together.
    """

    __slots__ = (
        "_at", "_data", "_delimiter", "_max_header_bytes", "_max_headers", "_outside", "_scanned",
        "_state",
    )  # fmt: skip

    def __init__(self, boundary: bytes, *, max_headers: int, max_header_bytes: int) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._max_headers = max_headers
        self._max_header_bytes = max_header_bytes
        # The first boundary needs no line end before it; with one it is like all others.
        self._data = _LINE_END
        self._at = 0
        self._scanned = 0
        self._outside = -len(_LINE_END)
        self._state = _State.BEFORE

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Not before `next` has returned ``None``."""
        at = self._at
        if at < len(self._data):
            data = self._data[at:] + data
        self._scanned = max(0, self._scanned - at)
        self._data = data
        self._at = 0

    def finish(self) -> None:
        """There are no more bytes.

        Raises:
            Malformed: The form is not complete.
        """
        if self._state is not _State.BEHIND:
            raise Malformed("the form ends before its last boundary")

    def whole(self) -> tuple[Headers, bytes] | None:
        """The next part at once, if it begins here, is there, and is small; otherwise ask `next`.

        The same as `next` gives in three events, for forms of many small fields.

        Raises:
            Malformed: It has more headers than it may.
        """
        if self._state is not _State.LINE and (
            self._state is not _State.BEFORE or not self._preamble()
        ):
            return None
        data, at = self._data, self._at
        if not data.startswith(_LINE_END, at):
            return None
        head = data.find(b"\r\n\r\n", at, at + self._max_header_bytes + 6)
        if head < 0:
            return None
        end = data.find(self._delimiter, head + 2, head + _SMALL)
        if end < 0:
            return None
        self._at = end + len(self._delimiter)
        return self._lines(at, head), data[head + 4 : end]

    def next(self) -> Event | None:
        """The next event, ``None`` if more bytes are needed.

        Raises:
            Malformed: This is no form.
        """
        state = self._state
        if state is _State.CONTENT:
            return self._content()
        if state is _State.BEFORE:
            if not self._preamble():
                return None
            state = self._state
        if state is _State.LINE:
            if not self._line():
                return None
            if self._state is _State.BEHIND:
                self._outside = 0
                return Mark.FORM_END
            state = self._state
        if state is _State.HEADERS:
            return self._headers()
        if state is _State.START:
            return self._start()
        self._pass(len(self._data))
        return None

    def _preamble(self) -> bool:
        """Pass over what comes before the first boundary; whether that was there."""
        found = self._data.find(self._delimiter, self._at)
        self._pass(self._held() if found < 0 else found)
        if found < 0:
            return False
        self._at += len(self._delimiter)
        self._state = _State.LINE
        return True

    def _pass(self, end: int) -> None:
        self._outside += end - self._at
        if self._outside > _MAX_OUTSIDE:
            raise Malformed("the form has too much outside of its parts")
        self._at = end

    def _line(self) -> bool:
        """The rest of a boundary's line; whether it was there."""
        data, at = self._data, self._at
        if data.startswith(b"--", at):
            self._at = at + 2
            self._state = _State.BEHIND
            return True
        end = at
        while end < len(data) and data[end] in b" \t":
            end += 1
            if end - at > _MAX_PADDING:
                raise Malformed("a boundary of the form is followed by too many blanks")
        rest = data[end : end + 2]
        if rest == _LINE_END:
            self._at = end
            self._state = _State.HEADERS
            return True
        if rest in (b"", b"\r") or (rest == b"-" and end == at):
            return False
        raise Malformed("a boundary of the form is followed by something else")

    def _headers(self) -> Headers | None:
        """The header lines. The line end before them is kept, so that none look like some."""
        data, at, most = self._data, self._at, self._max_header_bytes
        end = data.find(b"\r\n\r\n", max(at, self._scanned - 3), at + most + 6)
        if end < 0:
            if len(data) - at > most + 5:
                raise Malformed(f"the headers of a part may have {most} bytes")
            self._scanned = len(data)
            return None
        self._scanned = 0
        self._at = end + 2
        self._state = _State.START
        return self._lines(at, end)

    def _lines(self, at: int, end: int) -> Headers:
        lines = self._data[at + 2 : end].split(_LINE_END) if end > at else []
        if len(lines) > self._max_headers:
            raise Malformed(f"a part may have {self._max_headers} headers")
        return lines

    def _start(self) -> bytes | Mark | None:
        """The line end before the content, which may already belong to the next boundary."""
        data, at, delimiter = self._data, self._at, self._delimiter
        if not data.startswith(delimiter, at):
            if len(data) - at < len(delimiter) and delimiter.startswith(data[at:]):
                return None
            self._at = at + 2
        self._state = _State.CONTENT
        return self._content()

    def _content(self) -> bytes | Mark | None:
        data, at, delimiter = self._data, self._at, self._delimiter
        found = data.find(delimiter, at)
        if found == at:
            self._at = at + len(delimiter)
            self._state = _State.LINE
            return Mark.PART_END
        end = self._held() if found < 0 else found
        if end == at:
            return None
        self._at = end
        return data[at:end] if at or end < len(data) else data

    def _held(self) -> int:
        """Where the data ends, without what may be the beginning of a boundary."""
        data, delimiter = self._data, self._delimiter
        end = len(data)
        # A boundary has no line end in it, so nothing but the last one can begin it.
        found = data.rfind(b"\r", max(self._at, end - len(delimiter) + 1))
        return found if found >= 0 and delimiter.startswith(data[found:]) else end
