"""Path templates: ``/books/{id}``."""

from __future__ import annotations

import re
from typing import TypeAlias

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")
_NAMES = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
# Surrogates have no bytes that a client could send.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f{}?#%\\\ud800-\udfff]")


class Parameter:
    """A segment that matches anything but nothing, under the name of an argument."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


Segment: TypeAlias = "str | Parameter"


class BadTemplateError(ValueError):
    """The template cannot be a path; the message says why."""


def shape_of(path: str) -> str:
    """A template without the names of its parameters, which do not tell paths apart."""
    return _NAMES.sub("{}", path)


def parse_template(path: str) -> tuple[Segment, ...]:
    """Split a template into literal segments and parameters.

    Raises:
        BadTemplateError: It does not start with a slash, a brace is not a whole segment's, a name
            comes twice, or it has characters no path has.
    """
    if not path.startswith("/"):
        raise BadTemplateError("a path starts with '/'")
    segments: list[Segment] = []
    names: set[str] = set()
    parts = path[1:].split("/")
    for index, part in enumerate(parts):
        if not part and index < len(parts) - 1:
            raise BadTemplateError("a path has no empty segment")
        parameter = _PARAMETER.match(part)
        if parameter is None:
            if _FORBIDDEN.search(part):
                raise BadTemplateError(
                    f"{part!r} is neither plain text nor one '{{name}}' that fills its whole segment"
                )
            if part in (".", ".."):
                raise BadTemplateError(f"{part!r} is resolved by clients before they send it")
            segments.append(part)
            continue
        name = parameter[1]
        if name in names:
            raise BadTemplateError(f"the parameter {name!r} comes twice")
        names.add(name)
        segments.append(Parameter(name))
    return tuple(segments)
