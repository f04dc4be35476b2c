"""Names: Python's own made into the ones a schema has."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]*\Z")
"""What the specification takes for a name (2.1.9)."""


def camel(name: str) -> str:
    """``price_cents`` as ``priceCents``; underscores in front are kept."""
    stripped = name.lstrip("_")
    first, *rest = stripped.split("_")
    return name[: len(name) - len(stripped)] + first + "".join(each.capitalize() for each in rest)


def is_name(name: str) -> bool:
    """Whether a schema may use it: a name that the specification does not keep for itself."""
    return bool(NAME.match(name)) and not name.startswith("__")
