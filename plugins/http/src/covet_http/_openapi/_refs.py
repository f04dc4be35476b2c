"""Two documents whose references are followed."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
Side: TypeAlias = Literal["old", "new"]

_MOST_HOPS = 100


class Documents:
    """An old document and a new one."""

    def __init__(self, old: Json, new: Json) -> None:
        self.old = old
        self.new = new

    def resolve(self, side: Side, value: Any) -> Json:
        """What a value is, once references within its document are followed.

        One that leads elsewhere, nowhere or in a circle stays what it is.
        """
        document = self.old if side == "old" else self.new
        for _ in range(_MOST_HOPS):
            if not isinstance(value, dict):
                return {}
            reference = value.get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return value
            found: Any = document
            for part in reference[2:].split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                found = found.get(name) if isinstance(found, dict) else None
            if found is None:
                return value
            # What stands beside a reference holds as well (JSON Schema 2020-12, 8.2.3.1).
            beside = {name: each for name, each in value.items() if name != "$ref"}
            value = {**found, **beside} if beside and isinstance(found, dict) else found
        return {}
