"""A plan: what is read, how, and how much of it was thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    Attributes:
        kind: What the database calls it: ``"Seq Scan"``, ``"SCAN"``, ``"Sort"``.
        line: The step as one line of text.
        table: What it reads, if that is a table.
        index: The index it uses.
        condition: What it throws rows away by, in the database's words.
        reads_all: Whether it reads the whole table.
        sorts: Whether it sorts.
        spilled: Bytes that it wrote to disk because they did not fit into memory.
        expected: Rows it is expected to give, each time.
        rows: Rows it gave, in all; ``None`` if the statement was not run.
        removed: Rows it read and threw away.
        loops: How often it ran.
        blocks: Blocks of the database that were read for it, from memory or not.
        steps: Those it takes its rows from.
    """

    kind: str
    line: str
    table: str = ""
    index: str = ""
    condition: str = ""
    reads_all: bool = False
    sorts: bool = False
    spilled: int = 0
    expected: float | None = None
    rows: float | None = None
    removed: float = 0
    loops: float = 1
    blocks: int = 0
    steps: tuple[Step, ...] = ()

    def all(self) -> Iterator[Step]:
        """The step and all below it."""
        yield self
        for step in self.steps:
            yield from step.all()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The step and all below it, a line each."""
        yield "  " * depth + self.line
        for step in self.steps:
            yield from step.lines(depth + 1)


@dataclass(frozen=True)
class Plan:
    """A statement's plan.

    Attributes:
        dialect: The database's.
        steps: The outermost steps.
        seconds: How long it took to run, if it was.
    """

    dialect: str
    steps: tuple[Step, ...]
    seconds: float | None = None

    def all(self) -> Iterator[Step]:
        """Every step."""
        for step in self.steps:
            yield from step.all()

    def lines(self) -> tuple[str, ...]:
        """It as lines of text."""
        return tuple(line for step in self.steps for line in step.lines())
