"""The request target: percent-decoding and the query, strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

Query: TypeAlias = Mapping[str, "str | list[str]"]

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What an escape stands for, where it is a character by itself. NUL is none.
_ASCII = {
    f"{high}{low}": chr(int(high + low, 16))
    for high in "01234567"
    for low in "0123456789ABCDEFabcdef"
    if high + low != "00"
}


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
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    try:
        return first + "".join([_ASCII[part[:2]] + part[2:] for part in rest])
    except KeyError:
        return _decode_bytes(text)


def _decode_bytes(text: str) -> str:
    """`decode` where escapes are parts of characters, or wrong."""
    if _BAD_ESCAPE.search(text):
        raise BadTargetError("an incomplete percent-escape")
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise BadTargetError("percent-escapes that are not UTF-8") from None
    if "\0" in decoded:
        raise BadTargetError("a NUL character")
    return decoded


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
        known = values.get(name)
        if known is None:
            values[name] = value
        elif type(known) is list:
            known.append(value)
        else:
            values[name] = [known, value]  # type: ignore[list-item]
    return values
