"""Media types that name versions, in ``Accept`` and ``Content-Type`` (RFC 9110, 12.5.1 and 8.3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from covet_http._weight import weight_of

MediaType: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
"""``type/subtype`` and its parameters, in lower case."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_TYPE = re.compile(rf"[ \t]*+({_WORD}/{_WORD})[ \t]*+")
_PARAMETER = re.compile(rf';[ \t]*+({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*+)")[ \t]*+')
# What says no more than that JSON, or anything, will do.
_OPEN = frozenset(("*/*", "application/*", "application/json"))


def parse(text: str) -> tuple[MediaType, float] | None:
    """A media type and its quality, ``None`` if this is not one."""
    found = _TYPE.match(text)
    if found is None:
        return None
    parameters: set[tuple[str, str]] = set()
    quality = 1.0
    at = found.end()
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            return None
        at = parameter.end()
        name, value = parameter[1].lower(), parameter[2] or parameter[3] or ""
        if name == "q":
            weight = weight_of(value)
            if weight is None:
                return None
            quality = weight
        else:
            parameters.add((name, value.lower()))
    return (found[1].lower(), frozenset(parameters)), quality


def _elements(value: str) -> Iterator[str]:
    """The members of a list, whose quoted strings may hold commas."""
    if '"' not in value:
        yield from value.split(",")
        return
    begin, quoted, escaped = 0, False, False
    for at, character in enumerate(value):
        if escaped:
            escaped = False
        elif character == '"':
            quoted = not quoted
        elif character == "\\":
            escaped = quoted
        elif character == "," and not quoted:
            yield value[begin:at]
            begin = at + 1
    yield value[begin:]


class Wanted:
    """What one ``Accept`` header says of versions. Members that cannot be read count as not there.

    Attributes:
        version: The version it likes best; ``None``: none that is known.
        others: Whether what names no version will do.
    """

    __slots__ = ("others", "version")

    def __init__(self, value: str, versions: Mapping[MediaType, str], family: Family) -> None:
        self.version: str | None = None
        best = any_version = 0.0
        named = False
        for element in _elements(value):
            parsed = parse(element)
            if parsed is None:
                continue
            media_type, quality = parsed
            if family.has(media_type):
                named = True
                known = versions.get(media_type)
                if known is not None and quality > best:
                    self.version, best = known, quality
            elif media_type[0] in _OPEN:
                any_version = max(any_version, quality)
        self.others = any_version > 0.0 or not named
        if any_version > best:
            self.version = None


class Family:
    """The media types that name a version of this API, be it known or not.

    Args:
        template: With ``{version}`` in it.
    """

    def __init__(self, template: str) -> None:
        name, _, parameters = template.lower().partition(";")
        self._begin, self._place, self._end = name.partition("{version}")
        self._key = next(
            (each.partition("=")[0].strip() for each in parameters.split(";") if "{" in each), ""
        )

    def has(self, media_type: MediaType) -> bool:
        name, parameters = media_type
        if self._key:
            return name == self._begin and any(key == self._key for key, _ in parameters)
        return name.startswith(self._begin) and name.endswith(self._end)
