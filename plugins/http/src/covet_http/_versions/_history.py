"""What changed from each version to the next, checked and looked up by what a client speaks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from covet_http._versions._changes import VersionChange
from covet_http._versions._steps import compose, describe
from covet_http._versions._walk import Walk, fields_of
from covet_kernel import ConfigurationError

log = logging.getLogger("covet.http")

CODE = "COVET-HTTP-VERSION-CHANGE"
Direction: TypeAlias = Literal["request", "response"]
_Key: TypeAlias = tuple[str, Any, str]


class History:
    """All changes between declared versions.

    Args:
        names: Every version, oldest first.
        changes: Each with who says so.

    Raises:
        ConfigurationError: A change is none.
        ExceptionGroup: Several are.
    """

    def __init__(self, names: Sequence[str], changes: Iterable[tuple[str, VersionChange]]) -> None:
        self._names = tuple(names)
        self._changes: dict[_Key, VersionChange] = {}
        self._unused: dict[_Key, str] = {}
        errors = [error for owner, each in changes for error in self._admit(owner, each)]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("changes between versions cannot be applied", errors)

    def walks(self, direction: Direction, client: str, spoken: str) -> Mapping[Any, Walk]:
        """By model, what takes a request from the client's version to the spoken one, or back."""
        found: dict[Any, list[VersionChange]] = {}
        for model, change in self._between(direction, client, spoken):
            found.setdefault(model, []).append(change)
        if direction == "response":
            found = {model: changes[::-1] for model, changes in found.items()}
        return {model: compose(changes, client) for model, changes in found.items()}

    def forms(self, direction: Direction, client: str, spoken: str) -> Mapping[Any, Any]:
        """By model, what describes its data as the client has it: the nearest change tells."""
        found: dict[Any, Any] = {}
        for model, change in self._between(direction, client, spoken):
            found.setdefault(model, describe(change))
        return found

    def use(self, direction: Direction, models: set[Any]) -> None:
        """Say that an operation needs the changes of these models."""
        for key in [*self._unused]:
            if key[0] == direction and key[1] in models:
                del self._unused[key]

    def warn_of_unused(self) -> None:
        """Log the changes that no operation needs, which are probably on the wrong class."""
        for (direction, model, older), owner in self._unused.items():
            log.warning(
                "no operation needs the %s change of %s from version %s (%s)",
                direction, model.__name__, older, owner,
            )  # fmt: skip

    def _between(
        self, direction: Direction, client: str, spoken: str
    ) -> Iterator[tuple[Any, VersionChange]]:
        """From the client's version up."""
        for older in self._names[self._names.index(client) : self._names.index(spoken)]:
            for (way, model, start), change in self._changes.items():
                if way == direction and start == older:
                    yield model, change

    def _admit(self, owner: str, change: VersionChange) -> Iterator[ConfigurationError]:
        name = getattr(change.function, "__qualname__", repr(change.function))

        def wrong(problem: str, valid: Sequence[str] = ()) -> ConfigurationError:
            return ConfigurationError(
                CODE,
                f"the change {name} ({owner}) {problem}.",
                place="plugins.http.versions.known",
                valid=valid,
                fix="See http.upgrade_request and http.downgrade_response.",
            )

        neighbours = list(zip(self._names, self._names[1:], strict=False))
        if (change.older, change.newer) not in neighbours:
            yield wrong(
                f"is between {change.older} and {change.newer}, which are not declared as neighbours",
                [f"{older} and {newer}" for older, newer in neighbours],
            )
        if fields_of(change.model) is None:
            yield wrong(f"is of {change.model!r}, which is no model")
        try:
            describe(change)
        except Exception as error:
            yield wrong(f"has annotations that cannot be evaluated: {error}")
        key = change.direction, change.model, change.older
        if key in self._changes:
            other = self._changes[key].function.__qualname__
            yield wrong(f"and {other} are of the same model and versions")
        self._changes[key] = change
        self._unused[key] = owner
