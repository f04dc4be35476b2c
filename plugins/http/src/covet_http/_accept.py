"""``Accept``: which of a few media types a client would rather have (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from covet_http._weight import weight_of

# Far more than any client sends.
_MOST_RANGES: Final = 64
_LONGEST: Final = 4096
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"[ \t]*(\*|{_WORD})/(\*|{_WORD})[ \t]*(?:;|\Z)")


class TooManyRangesError(Exception):
    """The header is longer than anybody needs."""


def preferred(line: str, offered: Sequence[str]) -> int | None:
    """Which of the offered media types is wanted most.

    For each the most specific range counts, and of equally wanted ones the first. A range that is
    malformed, or has other parameters than a weight and a charset, stands for nothing.

    Args:
        line: The value of ``Accept``, several lines joined with commas.
        offered: Media types in lower case, the server's own favourite first.

    Returns:
        An index, ``None`` if nothing that is offered is wanted.

    Raises:
        TooManyRangesError: It has more than 64 ranges or 4096 characters.
    """
    weights = [(0, 0.0)] * len(offered)
    for kind, subtype, weight in _ranges(line):
        for index, each in enumerate(offered):
            known = each.split("/")
            if kind == "*":
                precision = 1 if subtype == "*" else 0
            elif kind == known[0]:
                precision = 2 if subtype == "*" else 3 if subtype == known[1] else 0
            else:
                precision = 0
            if precision > weights[index][0]:
                weights[index] = precision, weight
    best = max(range(len(offered)), key=lambda index: (weights[index][1], -index))
    return best if weights[best][1] > 0 else None


def _ranges(line: str) -> list[tuple[str, str, float]]:
    if len(line) > _LONGEST:
        raise TooManyRangesError(f"an Accept header of more than {_LONGEST} characters")
    parts = split_list(line)
    if len(parts) > _MOST_RANGES:
        raise TooManyRangesError(f"more than {_MOST_RANGES} ranges in Accept")
    found = []
    for part in parts:
        match = _RANGE.match(part.lower())
        if match is None:
            continue
        weight = _weight(part[match.end() :].lower()) if match.end() < len(part) else 1.0
        if weight is not None:
            found.append((match[1], match[2], weight))
    return found


def _weight(parameters: str) -> float | None:
    weight: float | None = 1.0
    for parameter in parameters.split(";"):
        name, _, value = (each.strip(" \t") for each in parameter.partition("="))
        if name == "q":
            weight = weight_of(value)
        elif name not in ("", "charset"):
            return None
        if weight is None:
            return None
    return weight


def split_list(line: str) -> list[str]:
    """The elements of a comma-separated list (RFC 9110, 5.6.1), empty ones left out.

    A comma inside a quoted string separates nothing. Linear in the length.
    """
    if '"' not in line:
        return [part for part in (each.strip(" \t") for each in line.split(",")) if part]
    parts, begin, quoted, escaped = [], 0, False, False
    for index, character in enumerate(line):
        if escaped:
            escaped = False
        elif quoted:
            escaped = character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = True
        elif character == ",":
            parts.append(line[begin:index])
            begin = index + 1
    parts.append(line[begin:])
    return [part for part in (each.strip(" \t") for each in parts) if part]
