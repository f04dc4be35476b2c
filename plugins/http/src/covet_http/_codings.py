"""Which content codings a client takes (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_MOST: Final = 32
_MEMBER = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?\Z"
)


def acceptable(value: str, offered: Sequence[str]) -> list[str]:
    """Those of the offered codings that a client takes, the one it likes best first.

    Args:
        value: Of ``Accept-Encoding``; empty: it takes none.
        offered: In the order of the server's own liking, which decides where the client has none.
    """
    qualities: dict[str, float] = {}
    for member in value.split(",", _MOST)[:_MOST]:
        found = _MEMBER.match(member)
        if found is not None:
            name = found[1].lower().removeprefix("x-")
            qualities.setdefault(name, 1.0 if found[2] is None else float(found[2]))
    others = qualities.get("*", 0.0)
    wanted = {name: qualities.get(name, others) for name in offered}
    return sorted((name for name in offered if wanted[name] > 0), key=lambda name: -wanted[name])


def takes(value: str, media_type: str) -> bool:
    """Whether an ``Accept`` header names a media type itself, and not only everything."""
    for member in value.split(",", _MOST)[:_MOST]:
        name, _, parameters = member.partition(";")
        if name.strip(" \t").lower() == media_type:
            return re.search(r"(?:\A|;)[ \t]*[qQ]=0(?:\.0{0,3})?[ \t]*(?:;|\Z)", parameters) is None
    return False
