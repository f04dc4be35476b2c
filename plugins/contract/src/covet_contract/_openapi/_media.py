"""Bodies and headers, by their media types and schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from covet_contract._codes import found
from covet_contract._json._schema import Direction, SchemaDiff
from covet_contract._json._spots import Documents, Spot
from covet_operations import Finding

_SCHEMAS: Final = ("schema", "itemSchema", "x-itemSchema")


class MediaDiff:
    """Compares contents of two documents.

    Args:
        both: The documents.
    """

    def __init__(self, both: Documents) -> None:
        self._both = both
        self._schemas = SchemaDiff(both)

    def content(
        self, place: str, old: Spot, new: Spot, direction: Direction, *, errors: bool = False
    ) -> Iterator[Finding]:
        """The changes of what has a member ``content``."""
        before = dict(self._both.children(old, "content"))
        after = dict(self._both.children(new, "content"))
        for kind, media in before.items():
            if kind not in after:
                problem = f"{kind} is gone, there is {', '.join(after) or 'none'}"
                yield found(f"{direction}-media-type-removed", media.pointer, place, problem)
                continue
            for member in _SCHEMAS:
                yield from self.schemas(
                    place,
                    self._both.at(media, member),
                    self._both.at(after[kind], member),
                    direction,
                    errors=errors,
                )
        for kind, media in after.items():
            if kind not in before:
                yield found(f"{direction}-media-type-added", media.pointer, place, f"{kind} is new")

    def headers(self, place: str, old: Spot, new: Spot) -> Iterator[Finding]:
        """The changes of an answer's headers."""
        before = {name.lower(): (name, at) for name, at in self._both.children(old, "headers")}
        after = {name.lower(): (name, at) for name, at in self._both.children(new, "headers")}
        for key, (name, header) in before.items():
            if key not in after:
                problem = f"the header {name} is gone"
                yield found("header-removed", header.pointer, place, problem)
                continue
            yield from self.schemas(
                f"{place} header {name}",
                self._both.at(header, "schema"),
                self._both.at(after[key][1], "schema"),
                "output",
            )
        for key, (name, header) in after.items():
            if key not in before:
                yield found("header-added", header.pointer, place, f"the header {name} is new")

    def schemas(
        self, place: str, old: Spot, new: Spot, direction: Direction, *, errors: bool = False
    ) -> Iterator[Finding]:
        """The changes of a schema; where one side has none, there is nothing to hold it to."""
        if old.value is None or new.value is None:
            return
        for step in self._schemas.compare(old, new, direction, errors=errors):
            yield found(step.code, step.pointer, f"{place} {step.path}".rstrip(), step.problem)
