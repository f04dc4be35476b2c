"""What h11 lets pass and covet does not: bytes on which two parsers might disagree."""

from __future__ import annotations

import re
from typing import Final

# Nothing here ever goes back to read the same bytes in another way: every repetition is possessive.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
_HEAD = re.compile(
    rb"(?P<method>%b) (?P<target>[\x21\x22\x24-\x7e]++) HTTP/\d\.\d\r\n"
    rb"(?:%b:%b\r\n)*+\r\n\Z" % (_TOKEN, _TOKEN, _VALUE)
)
_LENGTH = re.compile(rb"\r\ncontent-length:([^\r]*+)", re.IGNORECASE)
_PLAIN_LENGTH = re.compile(rb"\d{1,18}\Z")
_HOSTS = re.compile(rb"\r\nhost:([^\r]*+)", re.IGNORECASE)
# A name or an address, and perhaps a port (RFC 3986, 3.2.2, but no percent signs and commas).
HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(?:[/?]|\Z)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:([^\r]*+)", re.IGNORECASE)

# RFC 9112 (7.1.1), without the whitespace that its grammar knows only as bad.
_QUOTED = rb"\"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+\""
_CHUNK = re.compile(
    rb"([0-9A-Fa-f]{1,16}+)(?:;%b(?:=(?:%b|%b))?+)*+\r\n\Z" % (_TOKEN, _TOKEN, _QUOTED)
)
_TRAILER = re.compile(rb"(%b):%b\r\n\Z" % (_TOKEN, _VALUE))
# A trailer says nothing about how the message is framed, routed, authenticated or to be read
# (RFC 9110, 6.5.1). Conditions, all names that begin with "if-", are no trailers either.
_NO_TRAILER: Final = frozenset(
    (
        b"age", b"authorization", b"cache-control", b"connection", b"content-encoding",
        b"content-length", b"content-location", b"content-range", b"content-type", b"cookie",
        b"date", b"expect", b"expires", b"forwarded", b"host", b"keep-alive", b"location",
        b"max-forwards", b"origin", b"pragma", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"range", b"referer", b"retry-after", b"set-cookie", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"vary", b"via", b"warning", b"www-authenticate",
        b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto",
    )
)  # fmt: skip
_MOST_TRAILERS: Final = 64
_LONGEST_LINE: Final = 4096
# Bytes of a body's framing that are not the digits of its sizes, over all of its chunks.
_MOST_OVERHEAD: Final = 16 * 1024
_LARGEST: Final = 0xFFFF_FFFF_FFFF


def judge_head(head: bytes) -> int:
    """The status to refuse a head with, as it came; 0 if there is nothing to say against it.

    Only what is not in doubt may pass (RFC 9112, 2.2, 5.1, 6.3): lines that end in CRLF, names that are
    tokens, values without control characters, one length, one host, a target of a known form.
    """
    found = _HEAD.match(head)
    if found is None:
        return 400
    lengths = _values(_LENGTH, head)
    if lengths and (len(lengths) > 1 or not _PLAIN_LENGTH.match(lengths[0])):
        return 400
    hosts = _values(_HOSTS, head)
    if len(hosts) > 1 or (hosts and not HOST.match(hosts[0])):
        return 400
    method, target = found["method"], found["target"]
    if target[:1] != b"/" and not (target == b"*" and method == b"OPTIONS"):
        absolute = _ABSOLUTE.match(target)
        if absolute is None or (hosts and absolute[1].lower() != hosts[0].lower()):
            return 400
    if any(each.lower() != b"100-continue" for each in _values(_EXPECT, head)):
        return 417
    return 0


def _values(field: re.Pattern[bytes], head: bytes) -> list[bytes]:
    """The values of all lines of one field."""
    return [value.strip(b" \t") for value in field.findall(head)]


class ChunkScanner:
    """Follows the framing of a chunked body (RFC 9112, 7.1), beside the parser that unpacks it.

    Attributes:
        done: The body's end has come; what follows is not looked at.
    """

    __slots__ = ("_left", "_line", "_overhead", "_trailers", "done")

    def __init__(self) -> None:
        self.done = False
        self._trailers = -1  # not yet
        self._left = 0
        self._line = b""
        self._overhead = 0

    def accepts(self, data: bytes) -> bool:
        """Whether the framing is beyond doubt, with these bytes of it."""
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                step = min(self._left, len(data) - at)
                at += step
                self._left -= step
                continue
            end = data.find(b"\n", at) + 1
            line = self._line + data[at : end or len(data)]
            if len(line) > _LONGEST_LINE:
                return False
            if not end:
                self._line = line
                return b"\r" not in line[:-1]
            at, self._line = end, b""
            if not (self._chunk(line) if self._trailers < 0 else self._trailer(line)):
                return False
        return True

    def _chunk(self, line: bytes) -> bool:
        found = _CHUNK.match(line)
        if found is None:
            return False
        self._overhead += len(line) - len(found[1]) - 2
        size = int(found[1], 16)
        if size:
            self._left = size + 2
        else:
            self._trailers = 0
        return self._overhead <= _MOST_OVERHEAD and size <= _LARGEST

    def _trailer(self, line: bytes) -> bool:
        if line == b"\r\n":
            self.done = True
            return True
        found = _TRAILER.match(line)
        if found is None:
            return False
        name = found[1].lower()
        self._trailers += 1
        self._overhead += len(line)
        return (
            name not in _NO_TRAILER
            and not name.startswith(b"if-")
            and self._trailers <= _MOST_TRAILERS
            and self._overhead <= _MOST_OVERHEAD
        )
