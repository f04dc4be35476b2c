"""Path templates: ``/books/{id:int}``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, TypeAlias

_NAMES = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*(?::[a-z]+)?\}")

KINDS: Final = ("str", "int", "uuid", "date", "path")
"""What a template may say about a parameter."""

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z0-9_]*))?\}\Z")
# Surrogates have no bytes that a client could send.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f{}?#%\\\ud800-\udfff]")


class Parameter:
    """A segment that matches anything but nothing, under the name of an argument.

    Attributes:
        name: The argument's.
        kind: What the template says it is, one of `KINDS`; empty: the annotation alone says it.
    """

    __slots__ = ("kind", "name")

    def __init__(self, name: str, kind: str = "") -> None:
        self.name = name
        self.kind = kind


Segment: TypeAlias = "str | Parameter"


class BadTemplateError(ValueError):
    """The template cannot be a path; the message says why."""


def shape_of(path: str) -> str:
    """A template without the names of its parameters, which do not tell paths apart."""
    return _NAMES.sub("{}", path)


@lru_cache(maxsize=4096)
def parse_template(path: str) -> tuple[Segment, ...]:
    """Split a template into literal segments and parameters.

    Raises:
        BadTemplateError: It does not start with a slash, a brace is not a whole segment's, a name
            comes twice, its kind is unknown, something follows a ``path``, or it has characters no
            path has.
    """
    if not path.startswith("/"):
        raise BadTemplateError("a path starts with '/'")
    segments: list[Segment] = []
    names: set[str] = set()
    parts = path[1:].split("/")
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if not part and not last:
            raise BadTemplateError("a path has no empty segment")
        found = _PARAMETER.match(part)
        if found is None:
            if _FORBIDDEN.search(part):
                raise BadTemplateError(
                    f"{part!r} is neither plain text nor one '{{name}}' that fills its whole segment"
                )
            if part in (".", ".."):
                raise BadTemplateError(f"{part!r} is resolved by clients before they send it")
            segments.append(part)
            continue
        name, kind = found[1], found[2]
        if name in names:
            raise BadTemplateError(f"the parameter {name!r} comes twice")
        names.add(name)
        if kind is not None and kind not in KINDS:
            raise BadTemplateError(
                f"{part!r} has the type {kind!r}, which is none of {', '.join(KINDS)}"
            )
        if kind == "path" and not last:
            raise BadTemplateError(
                f"{part!r} takes the whole rest of a path, so nothing follows it"
            )
        segments.append(Parameter(name, kind or ""))
    return tuple(segments)


def untyped(path: str) -> str:
    """A template without the types of its parameters: ``/books/{id}``, as OpenAPI writes it."""
    return "/" + "/".join(
        f"{{{segment.name}}}" if isinstance(segment, Parameter) else segment
        for segment in parse_template(path)
    )
