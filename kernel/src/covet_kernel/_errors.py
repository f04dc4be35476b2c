"""Errors that carry fields, format themselves and have a page in the documentation each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self


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
        self,
        code: str,
        problem: str,
        *,
        place: str = "",
        valid: Iterable[str] = (),
        fix: str = "",
        given: str = "",
    ) -> None:
        super().__init__(code, problem)
        self.code = code
        self.problem = problem
        self.place = place
        self.valid = tuple(valid)
        near = _alike(given, self.valid) if given else []
        self.fix = f"Did you mean {near[0]!r}? {fix}".strip() if near else fix

    @classmethod
    def of(cls, code: str, *, place: str = "", valid: Iterable[str] = (), **fields: Any) -> Self:
        """One of the kernel's own errors; ``fields`` fill the texts of ``catalogue.toml``."""
        given = fields.get("given", "")
        entry = _catalogue()[code]
        problem, fix = (entry[text].format(**fields) for text in ("problem", "fix"))
        return cls(code, problem, place=place, valid=valid, fix=fix, given=given)

    def __str__(self) -> str:
        parts = {"at": self.place, "valid": ", ".join(self.valid), "fix": self.fix}
        lines = (f"  {label}: {text}" for label, text in parts.items() if text)
        return "\n".join((f"{self.code}: {self.problem}", *lines))


class ConfigurationError(CovetError):
    """The user's mistake, found before anything serves; the command line exits with 2."""


class LifecycleError(CovetError):
    """A plugin failed to start, run, drain or stop; the cause is chained. Exit code 1."""


def _catalogue() -> dict[str, dict[str, str]]:
    # These cost milliseconds to import, and only an error needs them.
    import tomllib
    from pathlib import Path

    with Path(__file__).with_name("catalogue.toml").open("rb") as file:
        return tomllib.load(file)


def _alike(given: str, valid: Sequence[str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(given, valid, 1)


def flatten(error: BaseException) -> list[BaseException]:
    """The leaves of nested exception groups, in order."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in flatten(inner)]
    return [error]
