"""What was found: which rule, where, why, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

Level: TypeAlias = Literal["info", "warning", "error"]
"""How bad something is."""
LEVELS: Final[tuple[Level, ...]] = ("info", "warning", "error")
"""From the least to the worst."""


@dataclass(frozen=True)
class Source:
    """A statement that is looked at.

    Attributes:
        text: It, with ``?`` or ``:name`` for its parameters.
        place: Where it stands: a file and a line, or the operation that runs it.
        rows: How many rows it gives each time, as far as that was recorded.
    """

    text: str
    place: str = ""
    rows: float | None = None


@dataclass(frozen=True)
class Rewrite:
    """Another way to write a statement.

    Attributes:
        text: It.
        same: When it gives the same rows; empty: always.
    """

    text: str
    same: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a statement.

    Attributes:
        rule: The rule's name.
        level: How bad it is.
        why: What it leads to.
        instead: What to do.
        rewrite: The statement, or another one, that does it.
        source: The statement and where it stands.
    """

    rule: str
    level: Level
    why: str
    instead: str
    source: Source
    rewrite: Rewrite | None = None

    def as_data(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "rule": self.rule,
            "level": self.level,
            "why": self.why,
            "instead": self.instead,
            "place": self.source.place,
            "statement": self.source.text,
            "rewrite": None if self.rewrite is None else asdict(self.rewrite),
        }


def worst(findings: Iterable[Finding]) -> int:
    """The index of the worst level in `LEVELS`, -1 if nothing was found."""
    return max((LEVELS.index(each.level) for each in findings), default=-1)
