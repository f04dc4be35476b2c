"""A statement's parameters, for asking about it rather than running it."""

from __future__ import annotations

from typing import Any

from covet_kernel.contracts import Params
from covet_sql.driver import Statement


class Placeholders:
    """A text and what its parameters are.

    Attributes:
        text: As it was given.
        numbered: It with ``$1`` and so on in place of its parameters, still to be read by a driver.
        names: The parameters' names, each once; empty if they have none.
        count: How many different ones there are.
    """

    def __init__(self, text: str) -> None:
        statement = Statement(text, lambda number: f"${number}", operator="??")
        self.text = text
        self.numbered = statement.sql
        self.names = statement.names
        self.count = statement.count

    def filled(self, value: Any) -> Params:
        """The same value for every parameter."""
        return dict.fromkeys(self.names, value) if self.names else [value] * self.count
