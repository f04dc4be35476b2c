"""A JSON Schema with what it refers to and what it is all of, ready to be compared."""

from __future__ import annotations

import json
from typing import Any, Final

from covet_contract._json._spots import Documents, Json, Spot, reference_of

TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_CHOICES: Final = ("anyOf", "oneOf")


class Shape:
    """What values a schema allows, its alternatives left out.

    Args:
        both: The documents.
        spot: Where the schema stands.
        beside: Another one that holds as well.
        nullable: Whether null is allowed beside what the schema says.

    Attributes:
        whole: Where it stands with everything beside it.
        words: Its keywords, those of all that it is all of together.
        members: Where the schemas of its properties are, by name.
        required: The properties that have to be there.
    """

    def __init__(
        self, both: Documents, spot: Spot, beside: Spot | None = None, *, nullable: bool = False
    ) -> None:
        self.both = both
        self.spot = spot
        self.whole = beside or spot
        self.members: dict[str, Spot] = {}
        self.required: set[str] = set()
        self.words: Json = {}
        self._nullable = nullable
        self._sources: dict[str, Spot] = {}
        for each in (spot, beside):
            if each is not None:
                self._gather(each, set())

    def _gather(self, spot: Spot, within: set[str]) -> None:
        if spot.pointer in within:
            return  # all of itself, which says nothing
        within.add(spot.pointer)
        value = spot.table()
        for name in value:
            self._sources.setdefault(name, spot)
        self.words = {**value, **self.words}
        for name, member in self.both.children(spot, "properties"):
            self.members.setdefault(name, member)
        needed = value.get("required")
        self.required |= {str(each) for each in needed} if isinstance(needed, list) else set()
        for part in self.both.items(spot, "allOf"):
            self._gather(part, within)

    def place(self, name: str) -> str:
        """The pointer to the schema that says a keyword; to this one if none does."""
        return self._sources.get(name, self.spot).pointer

    def at(self, name: str) -> Spot | None:
        """The schema that a keyword has, ``None`` if it has none that says anything."""
        source = self._sources.get(name)
        found = self.both.at(source, name) if source is not None else None
        return found if found is not None and isinstance(found.value, dict) else None

    @property
    def types(self) -> set[str]:
        """The JSON types it allows."""
        given = self.words.get("type")
        listed = given if isinstance(given, list) else [given]
        types = {each for each in listed if isinstance(each, str)}
        values = self.values
        if not types and values is not None:
            types = {_type_of(each) for each in values}
        if types and self._nullable:
            types.add("null")
        return types or set(TYPES)

    @property
    def values(self) -> list[Any] | None:
        """The only values it allows, ``None`` if it does not name them."""
        if "const" in self.words:
            return [self.words["const"]]
        given = self.words.get("enum")
        return given if isinstance(given, list) else None

    def choices(self) -> tuple[dict[str, tuple[Spot, Spot]], bool]:
        """Its alternatives, by what each is recognized by, and whether null is one.

        Each is the alternative, and what it is an alternative of.
        """
        word = next((each for each in _CHOICES if isinstance(self.words.get(each), list)), "")
        found: dict[str, tuple[Spot, Spot]] = {}
        nullable = False
        if word:
            outer = self._sources[word]
            for written, part in zip(self.words[word], self.both.items(outer, word), strict=True):
                if part.table().get("type") == "null":
                    nullable = True
                else:
                    found.setdefault(_identity(written, part), (part, outer))
        return found, nullable


def shapes(both: Documents, spot: Spot, name: str) -> tuple[dict[str, Shape], bool]:
    """The alternatives that a schema allows, at least one, and whether null stands beside several.

    Args:
        both: The documents.
        spot: Where the schema stands.
        name: What refers to it, ``""`` if nothing does.
    """
    whole = Shape(both, spot)
    choices, nullable = whole.choices()
    if not choices:
        if nullable:
            return {"null": Shape(both, Spot(spot.side, {"type": "null"}, spot.pointer))}, False
        return {name or _identity(None, spot): whole}, False
    one = len(choices) == 1
    return {
        name: Shape(both, part, outer, nullable=nullable and one)
        for name, (part, outer) in choices.items()
    }, nullable and not one


def spoken(types: set[str]) -> str:
    """Types in words."""
    return "anything" if types >= TYPES else " or ".join(sorted(types))


def text(value: Any) -> str:
    """A value as JSON, the same for equal values."""
    return json.dumps(value, sort_keys=True, default=str)


def _identity(written: Any, part: Spot) -> str:
    """What an alternative is recognized by: its component, what it is called, or what it is."""
    if name := reference_of(written):
        return name
    whole = part.table()
    return str(whole.get("title") or whole.get("type") or text(whole))


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")
