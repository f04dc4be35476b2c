"""The request target: percent-decoding and the query, strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

Query: TypeAlias = Mapping[str, "str | list[str]"]

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class BadTargetError(Exception):
    """The target is not one; the message may go to the client."""


def decode(text: str) -> str:
    """Percent-decode one path segment.

    Raises:
        BadTargetError: An incomplete escape, bytes that are not UTF-8, or a NUL.
    """
    if "%" not in text:
        return text
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
    if raw.count(b"&") >= limit:
        raise BadTargetError(f"more than {limit} query parameters")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise BadTargetError("a query that is not ASCII") from None
    if "+" in text:
        text = text.replace("+", " ")
    escaped = "%" in text
    values: dict[str, str | list[str]] = {}
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if escaped:
            name, value = decode(name), decode(value)
        known = values.get(name)
        if known is None:
            values[name] = value
        elif type(known) is list:
            known.append(value)
        else:
            values[name] = [known, value]  # type: ignore[list-item]
    return values
