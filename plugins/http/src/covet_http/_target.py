"""The request target: percent-decoding and the query, strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Query: TypeAlias = Mapping[str, "str | list[str]"]

_HEX = "0123456789ABCDEFabcdef"
_OCTETS = {high + low: chr(int(high + low, 16)) for high in _HEX for low in _HEX}


class BadTargetError(Exception):
    """The target is not one; the message may go to the client."""


def decode(text: str) -> str:
    """Percent-decode ASCII text, such as one path segment.

    Raises:
        BadTargetError: An incomplete escape, bytes that are not UTF-8, or a NUL.
    """
    if "%20" in text:
        # By far the most frequent; a space makes no other escape, and mends no broken one.
        text = text.replace("%20", " ")
    if "%" in text:
        text = _unescaped(text)
    if "\0" in text:
        raise BadTargetError("a NUL character")
    return text


def _unescaped(text: str) -> str:
    first, *rest = text.split("%")
    try:
        text = first + "".join([_OCTETS[part[:2]] + part[2:] for part in rest])
    except KeyError:
        raise BadTargetError("an incomplete percent-escape") from None
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise BadTargetError("percent-escapes that are not UTF-8") from None


def parse_query(raw: bytes, *, limit: int) -> Query:
    """The query's values by name: a string, or a list if the name comes more than once.

    Only ``&`` separates; ``;`` is an ordinary character, so that no proxy and this parser can
    disagree about where a parameter ends.

    Args:
        raw: What follows the question mark, still encoded.
        limit: The most pairs accepted.

    Raises:
        BadTargetError: More pairs than that, or bytes `decode` would refuse.
    """
    if not raw:
        return {}
    if len(raw) >= limit and raw.count(b"&") >= limit:
        raise BadTargetError(f"more than {limit} query parameters")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise BadTargetError("a query that is not ASCII") from None
    if "\0" in text:
        raise BadTargetError("a NUL character")
    if "+" in text:
        text = text.replace("+", " ")
    if "%20" in text:
        text = text.replace("%20", " ")  # as `decode` does
    escaped = "%" in text
    values: dict[str, str | list[str]] = {}
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if escaped and "%" in pair:
            name, value = decode(name), decode(value)
        if name not in values:
            values[name] = value
            continue
        known = values[name]
        if isinstance(known, list):
            known.append(value)
        else:
            values[name] = [known, value]
    return values
