"""Reads answers of HTTP/1.1 as strictly as no client does, so that a server's slip shows in a test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from covet_http.testing._headers import Headers

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ([\x20-\x7e]*)\Z")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e\x80-\xff\t]*)\Z")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}\Z")
# Fields of which there is one at most; others may be lists (RFC 9110, 5.3).
_ONCE = frozenset(
    (
        "age", "content-disposition", "content-length", "content-location", "content-range",
        "content-type", "date", "etag", "expires", "last-modified", "location", "retry-after",
        "server", "transfer-encoding",
    )
)  # fmt: skip
_LONGEST_HEAD = 1 << 18
_SHOWN = 200


class WireError(AssertionError):
    """The server sent something that is no answer, or not all of one."""


class Head:
    """How an answer begins.

    Attributes:
        status: The status code.
        reason: The text behind it.
        headers: Its fields.
    """

    __slots__ = ("headers", "reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers

    @property
    def closes(self) -> bool:
        """Whether the server ends the connection behind it."""
        return "close" in self.headers.get("connection", "").lower().split(", ")


class AnswerReader:
    """Takes the bytes of one connection, and gives its answers: head, pieces of the body, end.

    Attributes:
        ended: Whether the connection has: nothing more comes.
        trailers: Of the answer that was read last.
    """

    def __init__(self) -> None:
        self.ended = False
        self.trailers = Headers()
        self._data = bytearray()
        self._framing: Literal["none", "length", "chunks", "close"] = "none"
        self._left = 0

    @property
    def waiting(self) -> bytes:
        """What has come and belongs to nothing yet."""
        return bytes(self._data)

    def feed(self, data: bytes) -> None:
        """Take what has come, empty at the end of the connection."""
        self.ended = self.ended or not data
        self._data += data

    def take(self) -> bytes:
        """Everything that has come, whatever it is."""
        data, self._data = bytes(self._data), bytearray()
        return data

    def head(self, method: str) -> Head | None:
        """The next answer's head, ``None`` if more bytes are needed.

        Args:
            method: Of the request: an answer to HEAD has no body.

        Raises:
            WireError: This is none, or the connection has ended.
        """
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > _LONGEST_HEAD:
                raise WireError(f"the head of an answer does not end: {self._shown()}")
            if self.ended:
                raise WireError(f"the connection ended behind {self._shown()}")
            return None
        first, *lines = bytes(self._data[:end]).split(b"\r\n")
        found = _STATUS.match(first)
        if not found:
            raise WireError(f"no status line: {first[:_SHOWN]!r}")
        head = Head(int(found[1]), found[2].decode("ascii"), _fields(lines))
        del self._data[: end + 4]
        self.trailers = Headers()
        self._frame(head, method)
        return head

    def body(self) -> bytes | None:
        """The next piece of the body, empty at its end; ``None`` if more bytes are needed.

        Raises:
            WireError: The body is framed wrongly, or the connection ended before it did.
        """
        if self._framing == "none":
            return b""
        if self._framing == "close":
            piece = self.take()
            return piece or (b"" if self.ended else None)
        if self._framing == "chunks":
            if not self._chunk():
                self._need_more()
                return None
            if self._left == 0:
                self._framing = "none"
                return b""
        piece = bytes(self._data[: self._left])
        if not piece:
            self._need_more()
            return None
        del self._data[: len(piece)]
        self._left -= len(piece)
        if self._left == 0 and self._framing == "length":
            self._framing = "none"
        elif self._left == 0:
            self._left = -1  # the line end behind the chunk
        return piece

    def _need_more(self) -> None:
        if self.ended:
            raise WireError(f"the answer is cut off; last came {self._shown()}")

    def _frame(self, head: Head, method: str) -> None:
        self._framing, self._left = "none", 0
        headers = head.headers
        if "transfer-encoding" in headers:
            if headers["transfer-encoding"] != "chunked" or "content-length" in headers:
                raise WireError(f"an answer of no clear length: {headers!r}")
            if head.status < 200 or head.status == 204:
                raise WireError(f"an answer of status {head.status} with chunks")
        length = headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise WireError(f"a length of {length!r}")
        if method == "HEAD" or head.status < 200 or head.status in (204, 304):
            return
        if "transfer-encoding" in headers:
            self._framing = "chunks"
        elif length is not None:
            self._left = int(length)
            self._framing = "length" if self._left else "none"
        else:
            if not head.closes:
                raise WireError(f"an answer without a length does not close: {headers!r}")
            self._framing = "close"

    def _chunk(self) -> bool:
        """Come to the bytes of a chunk, or behind the last one; whether all up to there is here."""
        if self._left > 0:
            return True
        if self._left < 0:
            if len(self._data) < 2:
                return False
            if self._data[:2] != b"\r\n":
                raise WireError(f"a chunk does not end where it should: {self._shown()}")
            del self._data[:2]
            self._left = 0
        end = self._data.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._data[:end])
        if not _SIZE.match(line):
            raise WireError(f"no chunk size: {line[:_SHOWN]!r}")
        size = int(line, 16)
        if size:
            del self._data[: end + 2]
            self._left = size
            return True
        # The trailers end with an empty line, which follows at once where there are none.
        if self._data[end : end + 4] == b"\r\n\r\n":
            stop, lines = end, list[bytes]()
        else:
            stop = self._data.find(b"\r\n\r\n", end + 2)
            if stop < 0:
                return False
            lines = bytes(self._data[end + 2 : stop]).split(b"\r\n")
        del self._data[: stop + 4]
        self.trailers = _fields(lines)
        return True

    def _shown(self) -> str:
        return repr(bytes(self._data[:_SHOWN]))


def _fields(lines: Sequence[bytes]) -> Headers:
    fields: list[tuple[str, str]] = []
    for line in lines:
        found = _FIELD.match(line)
        if not found:
            raise WireError(f"no field: {line[:_SHOWN]!r}")
        value = found[2].strip(b" \t").decode("latin-1")
        fields.append((found[1].decode("ascii").lower(), value))
    headers = Headers(fields)
    for name in headers:
        if name in _ONCE and len(headers.all(name)) > 1:
            raise WireError(f"the field {name} comes twice")
    return headers
