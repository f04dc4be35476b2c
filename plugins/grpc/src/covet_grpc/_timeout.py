"""``grpc-timeout``: how long a caller waits."""

from __future__ import annotations

import re
from typing import Final

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])\Z")
_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def seconds_of(value: bytes) -> float | None:
    """The seconds a header's value stands for; ``None`` if it is malformed."""
    found = _TIMEOUT.match(value)
    return None if found is None else int(found[1]) * _SECONDS[found[2]]
