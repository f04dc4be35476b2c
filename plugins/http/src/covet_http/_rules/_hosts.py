"""Which hosts are answered for, so that nobody else's name gets into links, caches or logs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

_LABELS = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*"
_PATTERN = re.compile(rf"(?:\*\.)?{_LABELS}\Z|\[[0-9a-f:.]+\]\Z")
_LONGEST = 255


def _checked(pattern: str) -> str:
    lower = pattern.lower()
    if not _PATTERN.match(lower) or len(lower) > _LONGEST:
        raise ValueError(
            f"{pattern!r} is no host: write 'shop.example', '*.shop.example' for all names below it,"
            " or an address; no scheme, no port, no path"
        )
    return lower


HostPattern: TypeAlias = Annotated[str, AfterValidator(_checked)]
"""A host such as ``shop.example`` or ``[::1]``, or ``*.shop.example`` for all names below it."""


class AllowedHosts:
    """The hosts a service answers for, whatever the port.

    Args:
        patterns: Each a `HostPattern`.

    Attributes:
        names: The hosts in lower case; one that begins with a dot stands for all names below it.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self.names = tuple(each.removeprefix("*").encode("ascii") for each in patterns)
        self._exact = frozenset(each for each in self.names if each[:1] != b".")
        self._below = tuple(each for each in self.names if each[:1] == b".")

    def allow(self, host: bytes | None) -> bool:
        """Whether to answer.

        Args:
            host: The ``Host`` header, which was found to be a host; ``None``: there was none.
        """
        if host is None:
            return False
        end = host.find(b"]") + 1 or host.find(b":")
        name = (host if end < 0 else host[:end]).lower()
        return name in self._exact or any(
            name.endswith(each) and len(name) > len(each) for each in self._below
        )
