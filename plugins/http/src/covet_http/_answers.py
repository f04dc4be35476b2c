"""Answers that are complete before anybody asks, and the condition they may be asked under.

A server in C answers from these same objects, so that which server runs cannot be told from an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from covet_http._problem import joined
from covet_http._route import Reply

# What a 304 repeats of its 200 (RFC 9110, 15.4.5).
_KEPT = frozenset((b"cache-control", b"content-location", b"etag", b"expires", b"vary"))


class PreparedAnswer:
    """One answer, whoever asks.

    Attributes:
        reply: Status, headers and body; ``content-length`` among the headers where there may be one.
        etag: The entity tag with its quotes; empty: not conditional.
        unmodified: The 304 for those who have it already; ``reply`` if it is not conditional.
    """

    __slots__ = ("_tag", "etag", "reply", "unmodified")

    def __init__(self, reply: Reply, etag: bytes = b"") -> None:
        self.reply = reply
        self.etag = etag
        self._tag = etag.decode("latin-1")
        self.unmodified = reply
        if etag:
            kept = [header for header in reply[1] if header[0] in _KEPT]
            self.unmodified = 304, kept, b""

    def with_common(self, common: Sequence[tuple[bytes, bytes]]) -> PreparedAnswer:
        """The same with headers of every answer, but for those that it says itself."""
        status, headers, body = self.reply
        return PreparedAnswer((status, joined(common, headers), body), self.etag)

    def with_more(self, more: Sequence[tuple[bytes, bytes]]) -> PreparedAnswer:
        """The same with more headers, in whichever form it is sent."""
        status, headers, body = self.reply
        answer = PreparedAnswer((status, [*headers, *more], body), self.etag)
        if self.etag:
            status, headers, body = self.unmodified
            answer.unmodified = status, [*headers, *more], body
        return answer

    def to(self, method: str, headers: Sequence[tuple[bytes, bytes]]) -> Reply:
        """The reply for one request.

        Args:
            method: As sent.
            headers: With lower-case names.
        """
        if self.etag and method in ("GET", "HEAD"):
            for name, value in headers:
                if name == b"if-none-match":
                    # Few services have answers that anybody would ask this of.
                    from covet_http._conditional import holds

                    if holds(value.decode("latin-1"), self._tag):
                        return self.unmodified
        return self.reply
