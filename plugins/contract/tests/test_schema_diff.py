"""JSON Schemas that differ in one thing: it is found, where it stands and as bad as it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_contract._json._schema import Direction, SchemaDiff
from covet_contract._json._spots import Documents, Spot

pytestmark = pytest.mark.once

Json = dict[str, Any]

NAMES = st.sampled_from(["a", "b/c", "d~e", "f g"])
LEAVES = st.sampled_from(
    [
        {"type": "string", "minLength": 2, "maxLength": 8},
        {"type": "integer", "minimum": 2, "maximum": 8},
        {"type": "string", "enum": ["x", "y"]},
    ]
)


def objects(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    members = st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    return st.builds(
        lambda properties, needed: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[:needed],
            "additionalProperties": False,
        },
        members,
        st.integers(0, 2),
    )


SCHEMAS = objects(
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            objects(inner), st.builds(lambda each: {"type": "array", "items": each}, inner)
        ),
        max_leaves=6,
    )
)


def places(schema: Json, pointer: str = "") -> list[tuple[str, Json]]:
    """Every schema within one, by where it stands."""
    found = [(pointer, schema)]
    for name, each in schema.get("properties", {}).items():
        part = name.replace("~", "~0").replace("/", "~1")
        found += places(each, f"{pointer}/properties/{part}")
    if "items" in schema:
        found += places(schema["items"], f"{pointer}/items")
    return found


def look(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def edits(schema: Json) -> list[tuple[Json, dict[str, str]]]:
    """What one schema may be changed to, with the code of the change in each direction."""
    found: list[tuple[Json, dict[str, str]]] = []

    def add(change: Json, given: str, taken: str) -> None:
        found.append((change, {"input": given, "output": taken}))

    if schema["type"] != "array":
        widened = {**schema, "type": [schema["type"], "boolean"]}
        add(widened, "input-type-widened", "output-type-changed")
        add({**schema, "type": [schema["type"], "null"]}, "input-null-taken", "output-null-added")
    for low, high in (("minLength", "maxLength"), ("minimum", "maximum")):
        if low in schema:
            add({**schema, low: 3}, "input-limit-tightened", "output-limit-tightened")
            add({**schema, high: 9}, "input-limit-loosened", "output-limit-loosened")
            less = {name: each for name, each in schema.items() if name != low}
            add(less, "input-limit-loosened", "output-limit-loosened")
    if "enum" in schema:
        add({**schema, "enum": ["x"]}, "input-value-removed", "output-value-removed")
        add({**schema, "enum": ["x", "y", "z"]}, "input-value-added", "output-value-added")
    if "properties" in schema:
        members, needed = schema["properties"], schema["required"]
        more = {**members, "new": {"type": "string"}}
        add({**schema, "properties": more}, "input-member-added", "output-member-added")
        add(
            {**schema, "properties": more, "required": [*needed, "new"]},
            "input-member-required",
            "output-member-added",
        )
        first = min(members)
        less = {name: each for name, each in members.items() if name != first}
        rest = [name for name in needed if name != first]
        add(
            {**schema, "properties": less, "required": rest},
            "input-member-removed",
            "output-member-removed",
        )
        if first in needed:
            add({**schema, "required": rest}, "input-member-optional", "output-member-optional")
        else:
            add(
                {**schema, "required": [*needed, first]},
                "input-member-required",
                "output-member-guaranteed",
            )
    return found


def differences(old: Json, new: Json, direction: Direction) -> list[Any]:
    both = Documents(old, new)
    return [*SchemaDiff(both).compare(Spot("old", old, ""), Spot("new", new, ""), direction)]


@given(SCHEMAS, st.sampled_from(["input", "output"]))
def test_nothing_changes_from_a_schema_to_itself(schema: Json, direction: Direction) -> None:
    assert differences(schema, copy.deepcopy(schema), direction) == []


@given(SCHEMAS, st.sampled_from(["input", "output"]), st.data())
def test_one_change_is_found_alone(schema: Json, direction: Direction, data: st.DataObject) -> None:
    changes = [
        (pointer, change, codes)
        for pointer, each in places(schema)
        for change, codes in edits(each)
    ]
    pointer, change, codes = data.draw(st.sampled_from(changes))
    new = copy.deepcopy(schema)
    if pointer:
        above, _, name = pointer.rpartition("/")
        look(new, above)[name.replace("~1", "/").replace("~0", "~")] = change
    else:
        new = change
    (step,) = differences(schema, new, direction)
    assert step.code == codes[direction]
    # It stands below what was changed, in one of the two.
    assert step.pointer.startswith(pointer)
    try:
        look(new, step.pointer)
    except KeyError:
        look(schema, step.pointer)


@given(SCHEMAS, SCHEMAS)
def test_what_breaks_callers_is_fine_for_readers(old: Json, new: Json) -> None:
    """The two directions are each other's opposites: what is taken of one is what is given of it."""
    taken = {step.code for step in differences(old, new, "input")}
    given_ = {step.code for step in differences(new, old, "output")}
    assert ("input-value-removed" in taken) == ("output-value-added" in given_)
    assert ("input-type-changed" in taken) == ("output-type-changed" in given_)
    assert ("input-alternative-removed" in taken) == ("output-alternative-added" in given_)
