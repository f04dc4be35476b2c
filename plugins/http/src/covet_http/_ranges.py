"""Which bytes of a representation a client asks for (RFC 9110, 14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Self

MOST_RANGES: Final = 16
"""A request for more parts than this is answered with the whole."""

# Nothing that can be sent has more digits; and a sum of them is no work.
_SPEC = re.compile(r"(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\Z", re.ASCII)


class Span(tuple[int, int]):
    """Bytes from a first to a last one, which is included."""

    __slots__ = ()

    def __new__(cls, first: int, last: int) -> Self:
        return super().__new__(cls, (first, last))

    @property
    def first(self) -> int:
        return self[0]

    @property
    def last(self) -> int:
        return self[1]

    @property
    def size(self) -> int:
        return self[1] - self[0] + 1


def parse_ranges(value: str, size: int) -> Sequence[Span] | None:
    """The bytes that a ``Range`` header asks for.

    Args:
        value: Of the header.
        size: Of the whole representation, in bytes.

    Returns:
        The spans, which neither touch nor overlap, so that they are never more than the whole; none:
        nothing of what is asked for is there (416). ``None``: the header is to be ignored, because it
        is malformed, of another unit, or asks for too many parts.
    """
    unit, equals, specs = value.partition("=")
    if not equals or unit.strip(" \t").lower() != "bytes":
        return None
    if specs.count(",") >= MOST_RANGES:
        return None
    spans: list[Span] = []
    for spec in specs.split(","):
        found = _SPEC.match(spec.strip(" \t"))
        if found is None:
            return None
        if found[3] is not None:
            suffix = int(found[3])
            if suffix and not size:
                return None  # all of nothing, which no Content-Range can say
            if suffix:
                spans.append(Span(max(0, size - suffix), size - 1))
            continue
        first, last = int(found[1]), int(found[2]) if found[2] else size - 1
        if found[2] and last < first:
            return None
        if first < size:
            spans.append(Span(first, min(last, size - 1)))
    return _joined(spans)


def _joined(spans: list[Span]) -> list[Span]:
    """The same bytes in as few spans as they need, each once."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.first <= joined[-1].last + 1:
            joined[-1] = Span(joined[-1].first, max(joined[-1].last, span.last))
        else:
            joined.append(span)
    return joined
