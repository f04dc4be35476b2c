"""The ``Location`` header: a template over the result, compiled at assembly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def fields_of(result: Any) -> frozenset[str] | None:
    """The names of a result type's fields, ``None`` if it has none that are known."""
    if not isinstance(result, type):
        return None
    if issubclass(result, BaseModel):
        return frozenset(result.model_fields)
    if hasattr(result, "__dataclass_fields__"):
        return frozenset(result.__dataclass_fields__)
    if hasattr(result, "__struct_fields__"):
        return frozenset(result.__struct_fields__)
    if issubclass(result, dict) and hasattr(result, "__required_keys__"):
        # A TypedDict, be it typing's or typing_extensions', which know only their own.
        return frozenset(result.__annotations__)
    return None


def check_location(template: str, result: Any) -> list[str]:
    """Say why a template cannot be filled from results of this type."""
    if not template.startswith("/") or template.startswith("//") or "\\" in template:
        return [f"the location {template!r} has to be a path on this server, starting with one '/'"]
    if re.search(r"[\x00-\x20\x7f]|[^\x00-\x7f]", template):
        return [f"the location {template!r} has characters a header cannot carry"]
    if set("{}") & set(_FIELD.sub("", template)):
        return [f"the location {template!r} has a brace that is not part of '{{field}}'"]
    names = _FIELD.findall(template)
    if not names:
        return []
    known = fields_of(result)
    if known is None:
        return [f"the location {template!r} needs a result with named fields"]
    return [
        f"the location {template!r} names {name!r}, which is no field of the result ("
        + ", ".join(sorted(known)) + ")"
        for name in names
        if name not in known
    ]  # fmt: skip


def compile_location(template: str) -> Callable[[Any], bytes]:
    """A function from the result to the header's value.

    Every value is percent-encoded whole, slashes and line ends included, so that a result can
    neither leave its segment nor the header.
    """
    parts = _FIELD.split(template)

    def fill(result: Any) -> bytes:
        if isinstance(result, Mapping):
            values = [result[name] for name in parts[1::2]]
        else:
            values = [getattr(result, name) for name in parts[1::2]]
        filled = list(parts)
        filled[1::2] = [quote(str(value), safe="") for value in values]
        return "".join(filled).encode("ascii")

    return fill
