"""Which content codings a client takes: ``Accept-Encoding`` (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from covet_http._weight import weight_of

# Far more than any client sends.
_LONGEST: Final = 1024
_MOST: Final = 32
_MEMBER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[Qq]=([0-9.]+))?\Z")
_ALIASES: Final = {"x-gzip": "gzip"}


def acceptable(line: str, offered: Sequence[str]) -> list[str]:
    """Those of the offered codings that a client would rather have than none, the best first.

    Args:
        line: The value of ``Accept-Encoding``, several lines joined with commas.
        offered: What there is, the server's favourite first, which wins where the client does not care.

    Returns:
        None of them, too, where what it says is malformed or longer than anybody needs.
    """
    weights = _weights(line)
    if not weights:
        return []
    others, none = weights.get("*", 0.0), weights.get("identity", 0.0)
    wishes = {coding: weights.get(coding, others) for coding in offered}
    wanted = [coding for coding in offered if wishes[coding] and wishes[coding] >= none]
    return sorted(wanted, key=lambda coding: -wishes[coding])


def _weights(line: str) -> dict[str, float]:
    """How much each coding is wanted; empty where it cannot be told."""
    weights: dict[str, float] = {}
    members = line.split(",", _MOST)
    if len(line) > _LONGEST or len(members) > _MOST:
        return weights
    for member in members:
        text = member.strip(" \t")
        if not text:
            continue
        found = _MEMBER.match(text)
        weight = None if found is None else weight_of(found[2] or "1")
        if found is None or weight is None:
            return {}
        name = found[1].lower()
        name = _ALIASES.get(name, name)
        weights[name] = max(weights.get(name, 0.0), weight)
    return weights
