"""Which form of an answer a client takes (GraphQL over HTTP, 6.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

RESPONSE: Final = "application/graphql-response+json"
JSON: Final = "application/json"
_LONGEST: Final = 1000
_WILD: Final = {"*/*": 0, "application/*": 1}


@lru_cache(maxsize=64)
def chosen(line: str) -> str | None:
    """The media type for a value of ``Accept``; ``None`` if none of ours is in it.

    Where a client does not care it is the older one, which clients of that age expect.
    """
    if not line.strip():
        return JSON
    best: tuple[float, int, str] | None = None
    for item in line[:_LONGEST].split(","):
        name, *parameters = item.split(";")
        name = name.strip().lower()
        weight = _weight(parameters)
        if weight <= 0:
            continue
        found = JSON if name in _WILD else name
        if found not in (RESPONSE, JSON):
            continue
        rank = weight, _WILD.get(name, 2), found
        if best is None or rank[:2] > best[:2]:
            best = rank
    return None if best is None else best[2]


def _weight(parameters: list[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value.strip())
            except ValueError:
                return 0.0
    return 1.0
