"""Errors that carry fields, format themselves and have a page in the documentation each."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CovetError(Exception):
    """Something a person has to act on.

    Args:
        code: Stable identifier, ``COVET-`` and upper-case words; each has a page in the docs.
        problem: One sentence that says what is wrong, naming the culprit.
        place: Where: a file and key, a plugin, a line of code.
        valid: What would be valid instead.
        fix: What to do about it, an imperative sentence.
        given: The invalid name itself, if the close matches among ``valid`` are worth showing.
    """

    def __init__(
        self, code: str, problem: str, *, place: str = "", valid: Iterable[str] = (), fix: str = "", given: str = ""
    ) -> None:
        super().__init__(code, problem)
        self.code = code
        self.problem = problem
        self.place = place
        self.valid = tuple(valid)
        near = get_close_matches(given, self.valid, 1) if given else []
        self.fix = f"Did you mean {near[0]!r}? {fix}".strip() if near else fix

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.problem}"]
        lines += [f"  at: {self.place}"] if self.place else []
        lines += [f"  valid: {', '.join(self.valid)}"] if self.valid else []
        lines += [f"  fix: {self.fix}"] if self.fix else []
        return "\n".join(lines)


class ConfigurationError(CovetError):
    """Wrong before anything started; the command line exits with 2."""


class LifecycleError(CovetError):
    """A plugin failed to start, run, drain or stop; the cause is chained. Exit code 1."""


def flatten(error: BaseException) -> list[BaseException]:
    """The leaves of nested exception groups, in order."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in flatten(inner)]
    return [error]
