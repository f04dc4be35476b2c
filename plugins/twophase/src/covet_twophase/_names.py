"""What branches are called, so that their coordinator is known from the name alone."""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple, Self

PATTERN = re.compile(r"covet-([0-9a-f]{16})-([0-9a-f]{16})-(\d{1,4})")
COORDINATOR = re.compile(r"[0-9a-f]{16}")


def new_id() -> str:
    """Sixteen hexadecimal digits, by chance."""
    return secrets.token_hex(8)


class BranchName(NamedTuple):
    """The name of a branch.

    Attributes:
        coordinator: Whose it is: the identity of a log.
        transaction: Of which transaction.
        number: Of the branch within it: two of its databases may be one server's.
    """

    coordinator: str
    transaction: str
    number: int

    def __str__(self) -> str:
        return f"covet-{self.coordinator}-{self.transaction}-{self.number}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The parts of a name; ``None`` for one that no coordinator of ours has made."""
        match = PATTERN.fullmatch(text)
        return cls(match[1], match[2], int(match[3])) if match else None
