"""Messages that are sent or received, old and new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from covet_contract._codes import found
from covet_contract._json._schema import Direction, SchemaDiff
from covet_contract._json._spots import Documents, Spot
from covet_operations import Finding


class MessageDiff:
    """Compares messages of two documents.

    Args:
        both: The documents.
    """

    def __init__(self, both: Documents) -> None:
        self._both = both
        self._schemas = SchemaDiff(both)

    def compare(
        self, subject: str, action: str, old: Mapping[str, Spot], new: Mapping[str, Spot]
    ) -> Iterator[Finding]:
        """The changes of all messages that an operation has.

        Args:
            subject: The operation, in words.
            action: What the service does with them: ``"send"`` or ``"receive"``.
            old: Those that are promised, by name.
            new: Those that are to replace them.
        """
        direction: Direction = "output" if action == "send" else "input"
        for name, message in old.items():
            place = f"{subject} {name}"
            if name not in new:
                code = f"{direction}-message-removed"
                yield found(code, message.pointer, place, "the message is gone")
                continue
            yield from self._message(place, message, new[name], direction)
        for name, message in new.items():
            if name not in old:
                code = f"{direction}-message-added"
                yield found(code, message.pointer, f"{subject} {name}", "the message is new")

    def _message(self, place: str, old: Spot, new: Spot, direction: Direction) -> Iterator[Finding]:
        was, now = self._content_type(old), self._content_type(new)
        if was != now:
            problem = f"its content type was {was} and is {now}"
            yield found("content-type-changed", new.pointer, place, problem)
        for member in ("payload", "headers"):
            before, after = self._schema(old, member), self._schema(new, member)
            if before.value is None and after.value is None:
                continue
            # Nothing said is anything allowed.
            for step in self._schemas.compare(before, after, direction):
                path = f"header {step.path}" if member == "headers" else step.path
                yield found(step.code, step.pointer, f"{place} {path}".rstrip(), step.problem)

    def _content_type(self, message: Spot) -> str:
        root = self._both.root(message.side).table()
        return str(message.table().get("contentType", root.get("defaultContentType", "")))

    def _schema(self, message: Spot, member: str) -> Spot:
        """The schema itself, where it stands beside the name of its format."""
        spot = self._both.at(message, member)
        return self._both.at(spot, "schema") if "schemaFormat" in spot.table() else spot
