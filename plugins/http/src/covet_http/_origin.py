"""Where a redirect may lead: a path on this server, or plainly elsewhere."""

from __future__ import annotations

import re

# A browser reads a backslash as a slash, and a second slash as the beginning of a host.
_HERE = re.compile(r"/(?:[!-.0-\[\]-~][!-\[\]-~]*)?\Z")
_ELSEWHERE = re.compile(
    r"https?://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?#][!-\[\]-~]*)?\Z"
)


def is_path_here(target: str) -> bool:
    """Whether it is a path on this server, percent-encoded, that no browser takes for a host."""
    return _HERE.match(target) is not None


def is_url(target: str) -> bool:
    """Whether it is an ``https://`` or ``http://`` URL in plain ASCII, without a user's name in it."""
    return _ELSEWHERE.match(target) is not None
