"""Places in two JSON documents whose references are followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Json: TypeAlias = dict[str, Any]
Side: TypeAlias = Literal["old", "new"]

_MOST_HOPS: Final = 100


class Spot(NamedTuple):
    """A value in a document, and where it stands.

    Attributes:
        side: Of which document.
        value: What is there, never a reference that leads somewhere.
        pointer: Its JSON Pointer (RFC 6901), behind all references.
    """

    side: Side
    value: Any
    pointer: str

    def table(self) -> Json:
        """The value as an object, an empty one if it is none."""
        return self.value if isinstance(self.value, dict) else {}


class Documents:
    """An old document and a new one."""

    def __init__(self, old: Json, new: Json) -> None:
        self._roots: Mapping[Side, Json] = {"old": old, "new": new}

    def root(self, side: Side) -> Spot:
        """The whole of a document."""
        return Spot(side, self._roots[side], "")

    def at(self, spot: Spot, *names: str | int) -> Spot:
        """What stands below a spot; with the value ``None`` where there is nothing."""
        for name in names:
            value, pointer = spot.value, f"{spot.pointer}/{escaped(name)}"
            if isinstance(value, dict):
                found = value.get(str(name))
            elif isinstance(value, list) and isinstance(name, int) and name < len(value):
                found = value[name]
            else:
                found = None
            spot = self._followed(Spot(spot.side, found, pointer))
        return spot

    def children(self, spot: Spot, *names: str | int) -> Iterator[tuple[str, Spot]]:
        """The members of an object below a spot, by name; none if there is no object."""
        below = self.at(spot, *names)
        for name in below.table():
            yield name, self.at(below, name)

    def items(self, spot: Spot, *names: str | int) -> list[Spot]:
        """The items of a list below a spot; none if there is no list."""
        below = self.at(spot, *names)
        if not isinstance(below.value, list):
            return []
        return [self.at(below, number) for number in range(len(below.value))]

    def _followed(self, spot: Spot) -> Spot:
        """The same, once references within its document are followed.

        One that leads elsewhere, nowhere or in a circle stays what it is.
        """
        found = spot
        for _ in range(_MOST_HOPS):
            reference = found.value.get("$ref") if isinstance(found.value, dict) else None
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return found
            target: Any = self._roots[spot.side]
            for part in reference[2:].split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                target = target.get(name) if isinstance(target, dict) else None
            if target is None:
                return found
            # What stands beside a reference holds as well (JSON Schema 2020-12, 8.2.3.1).
            beside = {name: each for name, each in found.value.items() if name != "$ref"}
            if beside and isinstance(target, dict):
                target = {**target, **beside}
            found = Spot(spot.side, target, reference[1:])
        return spot


def escaped(name: str | int) -> str:
    """A name as part of a JSON Pointer."""
    return str(name).replace("~", "~0").replace("/", "~1")


def reference_of(value: Any) -> str:
    """The name of the component a value refers to, ``""`` if it is no reference."""
    found = value.get("$ref") if isinstance(value, dict) else None
    return found.rpartition("/")[2] if isinstance(found, str) else ""
