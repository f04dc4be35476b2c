"""What of one JSON Schema does not hold any more in another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from covet_http._openapi._refs import Documents, Json, Side

Found: TypeAlias = tuple[str, str, str]
"""The kind of a change, the path to it, and what it is."""

_TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
# What may only fall, and what may only rise, for all that was valid to stay so.
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT: Final = ("pattern", "format", "multipleOf", "contentEncoding")


class SchemaDiff:
    """Compares schemas of two documents.

    Args:
        documents: Where their references lead.
    """

    def __init__(self, documents: Documents) -> None:
        self._both = documents
        # Recursive schemas: pairs that are being compared, by what was given.
        self._open: set[tuple[str, str, str]] = set()

    def compare(
        self, old: Any, new: Any, direction: str, *, errors: bool = False, path: str = ""
    ) -> Iterator[Found]:
        """The changes that break.

        Args:
            old: The schema that is promised.
            new: The one that is to replace it.
            direction: ``"in"``: all that was valid has to stay so; ``"out"``: nothing that was not
                valid may become so.
            errors: Whether another alternative is one more error, which clients have to expect.
            path: Of the value, ``""`` for the whole.
        """
        pair = _text(old), _text(new), direction
        if pair[0] == pair[1] and "$ref" not in pair[0]:
            return
        if pair in self._open:
            return
        self._open.add(pair)
        try:
            yield from self._compare(old, new, direction, errors, path)
        finally:
            self._open.discard(pair)

    def _compare(
        self, old: Any, new: Any, direction: str, errors: bool, path: str
    ) -> Iterator[Found]:
        if isinstance(old, bool) or isinstance(new, bool):
            old, new = (each if isinstance(each, dict) else {} for each in (old, new))
        choices = self._choices("old", old), self._choices("new", new)
        if len(choices[0]) > 1 or len(choices[1]) > 1:
            yield from self._alternatives(*choices, direction, errors, path)
            return
        before, after = choices[0][0], choices[1][0]
        yield from _types(before, after, direction, path)
        if not _type_set(before) & _type_set(after):
            return
        yield from _values(before, after, direction, path)
        if direction == "in":
            yield from _limits(before, after, path)
        yield from self._members(before, after, direction, errors, path)
        if isinstance(before.get("items"), dict) and isinstance(after.get("items"), dict):
            yield from self.compare(
                before["items"], after["items"], direction, errors=errors, path=f"{path}[]"
            )

    def _whole(self, side: Side, schema: Any) -> Json:
        """A schema with what it refers to and what it is all of."""
        found = dict(self._both.resolve(side, schema))
        for each in found.pop("allOf", ()):
            part = self._whole(side, each)
            properties = {**found.get("properties", {}), **part.get("properties", {})}
            required = [*found.get("required", ()), *part.get("required", ())]
            found = {**part, **found}
            if properties:
                found["properties"] = properties
            if required:
                found["required"] = required
        return found

    def _choices(self, side: Side, schema: Any) -> list[Json]:
        """The alternatives of a schema, at least one; null, which may stand beside any, is none."""
        whole = self._whole(side, schema)
        given = whole.get("anyOf", whole.get("oneOf"))
        if not isinstance(given, list):
            return [{**whole, "$of": _identity(schema, whole)}]
        others = {name: each for name, each in whole.items() if name not in ("anyOf", "oneOf")}
        found = []
        for each in given:
            part = self._whole(side, each)
            if part.get("type") != "null":
                found.append({**others, **part, "$of": _identity(each, part)})
        if len(found) < len(given):
            # Said by the type of whatever is left.
            for each in found:
                each["$null"] = True
        return found or [{"type": "null", "$of": "null"}]

    def _alternatives(
        self, old: list[Json], new: list[Json], direction: str, errors: bool, path: str
    ) -> Iterator[Found]:
        before = {each["$of"]: each for each in old}
        after = {each["$of"]: each for each in new}
        gone, come = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
        if direction == "in":
            for name in gone:
                yield "alternative-removed", path, f"the alternative {name} is gone"
        if direction == "out" and not errors:
            for name in come:
                yield "alternative-added", path, f"the alternative {name} is new"
        for name in sorted(before.keys() & after.keys()):
            yield from self.compare(before[name], after[name], direction, errors=errors, path=path)

    def _members(
        self, old: Json, new: Json, direction: str, errors: bool, path: str
    ) -> Iterator[Found]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed = set(old.get("required", ())), set(new.get("required", ()))
        closed = new.get("additionalProperties") is False
        for name in before:
            at = f"{path}.{name}" if path else name
            if name not in after:
                if direction == "out" or closed:
                    yield "member-removed", at, "the member is gone"
                continue
            if direction == "out" and name in needed[0] - needed[1]:
                yield "member-optional", at, "it may be left out now"
            if direction == "in" and name in needed[1] - needed[0]:
                yield "member-required", at, "it has to be given now"
            yield from self.compare(before[name], after[name], direction, errors=errors, path=at)
        if direction == "in":
            for name in sorted(needed[1] - before.keys()):
                at = f"{path}.{name}" if path else name
                yield "member-required", at, "it is new, and has to be given"
            if closed and before and old.get("additionalProperties") is not False:
                yield "members-closed", path, "members that are not named are refused now"
        rest = old.get("additionalProperties"), new.get("additionalProperties")
        if isinstance(rest[0], dict) and isinstance(rest[1], dict):
            yield from self.compare(
                rest[0], rest[1], direction, errors=errors, path=f"{path}.*".lstrip(".")
            )


def _types(old: Json, new: Json, direction: str, path: str) -> Iterator[Found]:
    before, after = _type_set(old), _type_set(new)
    missing = before - after if direction == "in" else after - before
    if "number" in (after if direction == "in" else before):
        missing -= {"integer"}
    if missing:
        was, now = _words(before), _words(after)
        yield "type-changed", path, f"it was {was} and is {now}"


def _type_set(schema: Json) -> set[str]:
    given = schema.get("type")
    types = {given} if isinstance(given, str) else set(given or ())
    if not types and ("const" in schema or "enum" in schema):
        types = {_type_of(each) for each in _constants(schema) or ()}
    if types and schema.get("$null"):
        types.add("null")
    return types or set(_TYPES)


def _words(types: set[str]) -> str:
    return "anything" if types >= _TYPES else " or ".join(sorted(types))


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")


def _constants(schema: Json) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    given = schema.get("enum")
    return given if isinstance(given, list) else None


def _values(old: Json, new: Json, direction: str, path: str) -> Iterator[Found]:
    before, after = _constants(old), _constants(new)
    if direction == "out":
        before, after = after, before
    if after is None:
        return
    if before is None:
        words = "only some values are taken now" if direction == "in" else "any value may come now"
        yield "values-changed", path, words
        return
    kept = {_text(each) for each in after}
    gone = [each for each in before if _text(each) not in kept]
    if gone:
        verb = "not taken any more" if direction == "in" else "new"
        yield "values-changed", path, f"{', '.join(map(_text, gone))}: {verb}"


def _limits(old: Json, new: Json, path: str) -> Iterator[Found]:
    for names, tighter in ((_LOWER, 1), (_UPPER, -1)):
        for name in names:
            now = new.get(name)
            if not isinstance(now, int | float):
                continue
            was = old.get(name)
            if not isinstance(was, int | float):
                if name.startswith("min") and name != "minimum" and now <= 0:
                    continue
                yield "limit-tightened", path, f"{name} is {now}, and there was none"
            elif (now - was) * tighter > 0:
                yield "limit-tightened", path, f"{name} was {was} and is {now}"
    for name in _EXACT:
        if name in new and new[name] != old.get(name):
            had = f"was {_text(old[name])}" if name in old else "is new"
            yield "limit-tightened", path, f"{name} {had}, now {_text(new[name])}"
    if new.get("uniqueItems") and not old.get("uniqueItems"):
        yield "limit-tightened", path, "items have to be unique now"


def _identity(given: Any, whole: Json) -> str:
    """What an alternative is recognized by: its component, what it is called, or what it is."""
    reference = given.get("$ref") if isinstance(given, dict) else None
    if isinstance(reference, str):
        return reference.rpartition("/")[2]
    return str(whole.get("title") or whole.get("type") or _text(whole))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
