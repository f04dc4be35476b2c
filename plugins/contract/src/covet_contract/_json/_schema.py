"""What of one JSON Schema does not hold any more in another, and what holds now besides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from covet_contract._json._shape import Shape, shapes, spoken, text
from covet_contract._json._spots import Documents, Spot, escaped

Direction: TypeAlias = Literal["input", "output"]

# What may only fall, and what may only rise, for all that was valid to stay so.
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT: Final = ("pattern", "format", "multipleOf", "contentEncoding", "uniqueItems")
# Keywords whose schema every item or member has to be valid by, and how the path goes on there.
_INNER: Final = {"items": "[]", "additionalProperties": ".*"}


class Step(NamedTuple):
    """A change of a schema.

    Attributes:
        code: Of the change.
        pointer: Where it stands.
        path: Which part of the value it is about, ``""`` for the whole.
        problem: What is different.
    """

    code: str
    pointer: str
    path: str
    problem: str


class SchemaDiff:
    """Compares schemas of two documents.

    Args:
        both: The documents.
    """

    def __init__(self, both: Documents) -> None:
        self._both = both

    def compare(
        self, old: Spot, new: Spot, direction: Direction, *, errors: bool = False
    ) -> Iterator[Step]:
        """The changes; what a schema says of itself at several places is told once.

        Args:
            old: The schema that is promised.
            new: The one that is to replace it.
            direction: ``"input"``: all that was valid has to stay so; ``"output"``: nothing that
                was not valid may become so.
            errors: Whether another alternative is one more error, which clients have to expect.
        """
        return _Comparison(self._both, direction, errors=errors).compare(old, new, "")


class _Comparison:
    """One comparison; pairs of schemas that were looked at are not looked at again."""

    def __init__(self, both: Documents, direction: Direction, *, errors: bool) -> None:
        self._both = both
        self._direction = direction
        self._is_input = direction == "input"
        self._errors = errors
        self._seen: set[tuple[str, str]] = set()

    def compare(self, old: Spot, new: Spot, path: str) -> Iterator[Step]:
        pair = old.pointer, new.pointer
        if pair in self._seen:
            return
        self._seen.add(pair)
        before, was_null = shapes(self._both, old, _component(old))
        after, is_null = shapes(self._both, new, _component(new))
        if len(before) == len(after) == 1:
            (one,), (other,) = before.values(), after.values()
            yield from self._single(one, other, path)
            return
        if was_null != is_null:
            yield self._null(is_null, new.pointer, path)
        yield from self._alternatives(before, after, old, new, path)

    def _step(self, code: str, pointer: str, path: str, problem: str) -> Step:
        return Step(f"{self._direction}-{code}", pointer, path, problem)

    def _null(self, come: bool, pointer: str, path: str) -> Step:
        if self._is_input:
            if come:
                return self._step("null-taken", pointer, path, "it may be null now")
            return self._step("null-refused", pointer, path, "it may not be null any more")
        if come:
            return self._step("null-added", pointer, path, "it may be null now")
        return self._step("null-removed", pointer, path, "it is never null any more")

    def _alternatives(
        self, before: dict[str, Shape], after: dict[str, Shape], old: Spot, new: Spot, path: str
    ) -> Iterator[Step]:
        for name in before:
            if name not in after:
                yield self._step(
                    "alternative-removed", old.pointer, path, f"the alternative {name} is gone"
                )
        for name in after:
            if name not in before:
                step = self._step(
                    "alternative-added", new.pointer, path, f"the alternative {name} is new"
                )
                yield step._replace(code="error-added") if self._errors else step
        for name, shape in before.items():
            if name in after:
                yield from self._single(shape, after[name], path)

    def _single(self, old: Shape, new: Shape, path: str) -> Iterator[Step]:
        yield from self._types(old, new, path)
        if not _overlap(old.types, new.types):
            return
        yield from self._values(old, new, path)
        yield from self._limits(old, new, path)
        if self._is_input and "default" in old.words:
            was, now = old.words["default"], new.words.get("default")
            if "default" not in new.words or text(was) != text(now):
                words = f"the default was {text(was)} and is {text(now)}"
                if "default" not in new.words:
                    words = f"the default was {text(was)}, and there is none"
                yield Step("default-changed", _word("default", old, new), path, words)
        yield from self._members(old, new, path)
        yield from self._inner(old, new, path)

    def _types(self, old: Shape, new: Shape, path: str) -> Iterator[Step]:
        before, after = old.types, new.types
        lost, come = before - after, after - before
        # An integer is a number.
        lost -= {"integer"} if "number" in after else set()
        come -= {"integer"} if "number" in before else set()
        pointer = _word("type", new, new) if "type" in new.words else new.spot.pointer
        worse, better = (lost, come) if self._is_input else (come, lost)
        if worse == {"null"} or (better == {"null"} and not worse):
            yield self._null(come == {"null"}, new.whole.pointer, path)
        elif worse or better:
            words = f"it was {spoken(before)} and is {spoken(after)}"
            milder = "type-widened" if self._is_input else "type-narrowed"
            yield self._step("type-changed" if worse else milder, pointer, path, words)

    def _values(self, old: Shape, new: Shape, path: str) -> Iterator[Step]:
        before, after = old.values, new.values
        place = new.spot.pointer
        if before is None and after is not None:
            yield self._step("value-removed", place, path, "only some values are left")
        elif before is not None and after is None:
            yield self._step("value-added", place, path, "any value may come now")
        elif before is not None and after is not None:
            was, now = [*map(text, before)], [*map(text, after)]
            if gone := [each for each in was if each not in now]:
                yield self._step("value-removed", place, path, f"{', '.join(gone)}: gone")
            if come := [each for each in now if each not in was]:
                yield self._step("value-added", place, path, f"{', '.join(come)}: new")

    def _limits(self, old: Shape, new: Shape, path: str) -> Iterator[Step]:
        for name in (*_LOWER, *_UPPER):
            was, now = _number(old.words, name), _number(new.words, name)
            if was == now:
                continue
            tighter = was is None or (now is not None and (now > was) == (name in _LOWER))
            code = "limit-tightened" if tighter else "limit-loosened"
            had = f"was {text(was)}" if was is not None else "was not limited"
            has = f"is {text(now)}" if now is not None else "is not any more"
            pointer = _word(name, old, new)
            yield self._step(code, pointer, path, f"{name} {had} and {has}")
        for name in _EXACT:
            before, after = old.words.get(name) or None, new.words.get(name) or None
            if text(before) == text(after):
                continue
            pointer = _word(name, old, new)
            words = f"{name} was {text(before)} and is {text(after)}"
            # Another pattern allows other values: each reader and each caller may meet a new one.
            both = before is not None and after is not None
            loosened = after is None or (both and not self._is_input)
            yield self._step(
                "limit-loosened" if loosened else "limit-tightened", pointer, path, words
            )

    def _members(self, old: Shape, new: Shape, path: str) -> Iterator[Step]:
        closed = new.words.get("additionalProperties") is False
        was_closed = old.words.get("additionalProperties") is False
        for name, member in old.members.items():
            at = f"{path}.{name}" if path else name
            if name not in new.members:
                yield self._gone(member, at, closed=closed)
                continue
            pointer = new.members[name].pointer
            if name in old.required - new.required:
                yield self._step("member-optional", pointer, at, "it may be left out now")
            elif name in new.required - old.required:
                if self._is_input:
                    yield self._step("member-required", pointer, at, "it has to be given now")
                else:
                    yield self._step("member-guaranteed", pointer, at, "it is always there now")
            yield from self.compare(member, new.members[name], at)
        for name, member in new.members.items():
            if name in old.members:
                continue
            at = f"{path}.{name}" if path else name
            if self._is_input and name in new.required:
                words = "it is new, and has to be given"
                yield self._step("member-required", member.pointer, at, words)
            else:
                yield self._step("member-added", member.pointer, at, "it is new")
        if self._is_input:
            # Required, and no property says what it is.
            for name in sorted(new.required - new.members.keys() - old.required):
                at = f"{path}.{name}" if path else name
                yield self._step(
                    "member-required",
                    f"{new.place('required')}/required",
                    at,
                    "it is new, and has to be given",
                )
        if closed != was_closed and (old.members or new.members):
            words = "members that are not named are refused now"
            if not closed:
                words = "members that are not named may be there now"
            code = "members-closed" if closed else "members-opened"
            yield self._step(code, new.spot.pointer, path, words)

    def _gone(self, member: Spot, at: str, *, closed: bool) -> Step:
        if self._is_input and not closed:
            return self._step(
                "member-ignored", member.pointer, at, "the member is not named any more"
            )
        return self._step("member-removed", member.pointer, at, "the member is gone")

    def _inner(self, old: Shape, new: Shape, path: str) -> Iterator[Step]:
        for word, suffix in _INNER.items():
            before, after = old.at(word), new.at(word)
            if before is None and after is None:
                continue
            if "array" not in old.types & new.types and word == "items":
                continue
            anything = f"/{escaped(word)}"
            # Where there is no schema, anything is allowed; `false` is seen to by the members.
            if before is None and old.words.get(word) is not False:
                before = Spot("old", {}, f"{old.spot.pointer}{anything}")
            if after is None and new.words.get(word) is not False:
                after = Spot("new", {}, f"{new.spot.pointer}{anything}")
            if before is not None and after is not None:
                yield from self.compare(before, after, f"{path}{suffix}".lstrip("."))


def _word(name: str, old: Shape, new: Shape) -> str:
    """Where a keyword stands, in the old schema if it is gone."""
    shape = new if name in new.words else old
    return f"{shape.place(name)}/{name}"


def _component(spot: Spot) -> str:
    """The name of a component's schema, by which alternatives know each other."""
    head, _, name = spot.pointer.rpartition("/")
    return name if head == "/components/schemas" else ""


def _overlap(one: set[str], other: set[str]) -> bool:
    numbers = {"integer", "number"}
    return bool(one & other) or bool(one & numbers and other & numbers)


def _number(words: dict[str, Any], name: str) -> float | None:
    """A limit; a minimum of a count that is nothing is none."""
    value = words.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if name in ("minLength", "minItems", "minProperties") and value <= 0:
        return None
    return value
