"""Which form of an answer a client takes (GraphQL over HTTP, 6.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

RESPONSE: Final = "application/graphql-response+json"
JSON: Final = "application/json"
MULTIPART: Final = "multipart/mixed"
_VERSION: Final = "v0.2"
"""What clients call the draft that names what is pending, incremental and completed."""
LONGEST: Final = 1000
"""Characters of ``Accept`` that count."""
_WILD: Final = {"*/*": 0, "application/*": 1}


@lru_cache(maxsize=64)
def chosen(line: str) -> str | None:
    """The media type for a value of ``Accept``; ``None`` if none of ours is in it.

    Where a client does not care it is the older one, which clients of that age expect.
    """
    if not line.strip():
        return JSON
    best: tuple[float, int, str] | None = None
    for item in line.split(","):
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


@lru_cache(maxsize=64)
def takes_parts(line: str) -> bool:
    """Whether a value of ``Accept`` takes an answer in parts, in the form that ours have."""
    for item in line.split(","):
        name, *parameters = item.split(";")
        if name.strip().lower() != MULTIPART or _weight(parameters) <= 0:
            continue
        said = {key.strip().lower(): value.strip(' \t"') for key, _, value in _pairs(parameters)}
        if "deferspec" not in said and said.get("incrementalspec", _VERSION) == _VERSION:
            return True
    return False


def _pairs(parameters: list[str]) -> list[tuple[str, str, str]]:
    return [each.partition("=") for each in parameters]


def _weight(parameters: list[str]) -> float:
    for name, _, value in _pairs(parameters):
        if name.strip().lower() == "q":
            try:
                return float(value.strip())
            except ValueError:
                return 0.0
    return 1.0
