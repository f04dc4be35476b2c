"""What is kept of what clients send: so many values, of so much text, and no more."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

V = TypeVar("V")
MOST_TEXT: Final = 250_000
"""Characters of all documents that are kept: each of them costs some 300 bytes once it is parsed."""


class Kept(Generic[V]):
    """Values by name. Where there is no room, those go that nobody has asked for the longest.

    Args:
        most: How many there may be.
        most_text: Characters that all of them may have together.
    """

    def __init__(self, most: int, most_text: int = MOST_TEXT) -> None:
        self._most = most
        self._most_text = most_text
        self._values: OrderedDict[str, tuple[V, int]] = OrderedDict()
        self._text = 0

    def __len__(self) -> int:
        return len(self._values)

    @property
    def text(self) -> int:
        """Characters that there are."""
        return self._text

    def get(self, name: str) -> V | None:
        """The value of a name."""
        found = self._values.get(name)
        if found is None:
            return None
        self._values.move_to_end(name)
        return found[0]

    def put(self, name: str, value: V, text: int) -> None:
        """Keep a value.

        Args:
            name: What it is found by.
            value: In place of the one that there may be.
            text: Characters it has.
        """
        values = self._values
        if name in values:
            self._text -= values.pop(name)[1]
        values[name] = value, text
        self._text += text
        while len(values) > self._most or self._text > self._most_text:
            self._text -= values.popitem(last=False)[1][1]
