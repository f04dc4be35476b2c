"""A statement's parameters, for asking about it rather than running it."""

from __future__ import annotations

from typing import Any

from covet_kernel.contracts import Params
from covet_sql.driver import parts_of


class Placeholders:
    """A text and what its parameters are.

    Attributes:
        text: As it was given.
        numbered: It with ``$1`` and so on in place of its parameters, still to be read by a driver.
        names: The parameters' names, each once; empty if they have none.
        count: How many different ones there are.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        pieces = parts_of(text)
        names: dict[str, int] = {}
        marks = 0
        written: list[str] = []
        named = any(kind == "name" for kind, _ in pieces)
        for kind, part in pieces:
            if kind == "name":
                written.append(f"${names.setdefault(part, len(names) + 1)}")
            elif kind == "mark" and (named or part == "??"):
                written.append("??")
            elif kind == "mark":
                marks += 1
                written.append(f"${marks}")
            else:
                written.append(part)
        self.numbered = "".join(written)
        self.names = tuple(names)
        self.count = len(names) or marks

    def filled(self, value: Any) -> Params:
        """The same value for every parameter."""
        return dict.fromkeys(self.names, value) if self.names else [value] * self.count
