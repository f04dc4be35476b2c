"""Plans against graphql-core's own executor: the same answers to any query, of any data."""

from __future__ import annotations

from collections.abc import Generator
from random import Random
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from graphql import (
    OperationDefinitionNode,
    VariableValues,
    build_schema,
    execute_sync,
    get_variable_values,
    parse,
    validate,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_graphql._documents import Document
from covet_graphql._run import Run
from covet_graphql._schema import Served
from covet_kernel.contracts import Binding, Call, Operation

SCHEMA = build_schema("""
    type Query { one: Node, must: Node!, many: [Node], all: [Node!]!, any: Any, items: [Item!], grid: [[Int!]] }
    type Node implements Item { id: Int!, name: String, size: Float, next: Node, must: Node!, kids: [Node!], ok: Boolean!, kind: Kind }
    type Leaf implements Item { id: Int!, text: String! }
    interface Item { id: Int! }
    union Any = Node | Leaf
    enum Kind { A B }
""")
SERVED = Served(SCHEMA, {}, {}, {}, [])
CALLER = Call(Operation(name="t", handler=print), Binding(protocol="t", address=""))


class Later:
    """A value that has to be awaited."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from checkpoint().__await__()
        return self.value


def node(dice: Random, deeper: int) -> Any:
    def below() -> Any:
        return node(dice, deeper - 1) if deeper and dice.random() < 0.8 else None

    kids = [below() for _ in range(dice.randrange(3))]
    return {
        "__typename": "Node",
        "id": dice.choice([1, -5, 2, 3, 2**31, None, "x"] if dice.random() < 0.3 else [1, 2]),
        "name": dice.choice(["a", "ü", None, 7, RuntimeError("no")]),
        "size": dice.choice([1.5, -0.0, float("inf"), 3, None]),
        "next": below(),
        "must": below(),
        "kids": dice.choice([None, kids, kids, 5 if dice.random() < 0.2 else []]),
        "ok": dice.choice([True, False, True, None if dice.random() < 0.3 else True]),
        "kind": dice.choice(["A", "B", "C", None]),
    }


def leaf(dice: Random) -> Any:
    return {"__typename": "Leaf", "id": 3, "text": dice.choice(["t", "u", None])}


def root_of(dice: Random) -> Any:
    some = dice.choice([0, 1, 2, 18])
    return {
        "one": dice.choice([node(dice, 3), RuntimeError("no")]),
        "must": node(dice, 3),
        "many": [dice.choice([node(dice, 1), None]) for _ in range(some)],
        "all": [node(dice, 1) for _ in range(some)] if dice.random() < 0.9 else "text",
        "any": dice.choice([leaf(dice), node(dice, 2)]),
        "items": [dice.choice([leaf(dice), node(dice, 1)]) for _ in range(some)],
        "grid": [[dice.choice([0, 1, 2, 3, None, 4])] * dice.randrange(3) for _ in range(some)],
    }


FIELDS: dict[str, dict[str, str]] = {
    "Query": {
        "one": "Node", "must": "Node", "many": "Node", "all": "Node", "any": "Any", "items": "Item", "grid": "",
    },
    "Node": {
        "id": "", "name": "", "size": "", "next": "Node", "must": "Node", "kids": "Node", "ok": "", "kind": "",
    },
    "Leaf": {"id": "", "text": ""},
    "Item": {"id": ""},
    "Any": {},
}  # fmt: skip
CONDITIONS = ("", "", "", " @skip(if: $s)", " @include(if: $i)", " @skip(if: true)")


def selection(dice: Random, kind: str, depth: int = 0) -> str:
    parts = []
    for _ in range(dice.randint(1, 4)):
        condition = dice.choice(CONDITIONS)
        choice = dice.randrange(10)
        if choice == 0:
            parts.append(f"__typename{condition}")
        elif choice == 1 and kind in ("Node", "Item", "Any") and depth < 3:
            parts.append(f"...F{condition}")
        elif choice < 4 and depth < 3:
            on = dice.choice(["Node", "Leaf"] if kind in ("Item", "Any") else [kind])
            parts.append(f"... on {on}{condition} {selection(dice, on, depth + 1)}")
        elif FIELDS[kind]:
            name, inner = dice.choice(sorted(FIELDS[kind].items()))
            if inner and depth >= 3:
                continue
            below = f" {selection(dice, inner, depth + 1)}" if inner else ""
            parts.append(f"{name}{condition}{below}")
    return "{ " + " ".join(parts or ["__typename"]) + " }"


def awaited(value: Any, dice: Random, share: float) -> Any:
    """The same data, with some of it to be awaited."""
    made = value
    if isinstance(value, dict):
        made = {
            key: each if key == "__typename" else awaited(each, dice, share)
            for key, each in value.items()
        }
    elif isinstance(value, list):
        made = [awaited(each, dice, share) for each in value]
    return Later(made) if dice.random() < share else made


def run(text: str, values: VariableValues, root: Any, backend: str) -> tuple[Any, list[Any]]:
    document = Document(text, parse(text), SERVED, 10)
    plan = document.plan(document.operations[0], SERVED, values)

    async def answer() -> tuple[Any, list[Any]]:
        found = Run(SERVED, plan, values, CALLER)
        return await found.answer(root), [path for _, _, path in found.failures]

    return anyio.run(answer, backend=backend)


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs) and isinstance(ours, bool) == isinstance(theirs, bool)


@pytest.mark.once
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("share", [0.0, 0.2])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**64))
def test_answers_are_those_of_graphql_core(backend: str, share: float, seed: int) -> None:
    dice = Random(seed)
    s, i = dice.random() < 0.5, dice.random() < 0.5
    body, data = selection(dice, "Query"), root_of(dice)
    text = (
        "query($s: Boolean!, $i: Boolean!)"
        " { __typename @skip(if: $s) @include(if: $i) x: __typename ...Q }"
        f" fragment Q on Query {body}"
    )
    if "...F" in body:
        text += f" fragment F on Node {selection(dice, 'Node', 3)}"
    document = parse(text)
    if validate(SCHEMA, document):
        return  # fields of one name in types that differ
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    values = get_variable_values(SCHEMA, operation.variable_definitions or (), {"s": s, "i": i})
    assert isinstance(values, VariableValues)
    expected = execute_sync(SCHEMA, document, data, variable_values={"s": s, "i": i})
    found, failed = run(
        text, values, {key: awaited(each, dice, share) for key, each in data.items()}, backend
    )
    assert same(found, expected.data), text
    assert bool(failed) == bool(expected.errors)
    theirs = [each.path for each in expected.errors or ()]
    # Of several that may not be null the first to fail counts, which waiting changes.
    assert share or all(path in theirs for path in failed)


@pytest.mark.parametrize("count", [3, 500])
def test_long_lists_are_made_at_once_and_faults_in_them_are_found(count: int) -> None:
    text = "{ all { id name size kids { id } next { ok } kind t: __typename } }"
    good = {
        "id": 1, "name": "a", "size": 1.5, "kids": [{"id": 2}], "next": None, "kind": "A",
    }  # fmt: skip
    values = VariableValues({}, {})
    answer, failed = run(text, values, {"all": [good] * count}, "asyncio")
    assert answer == {"all": [{**good, "t": "Node"}] * count}
    assert not failed
    for fault in ({"name": 7}, {"id": None}, {"size": float("nan")}, {"kind": "C"}, {"kids": 3}):
        root = {"all": [*([good] * count), {**good, **fault}]}
        expected = execute_sync(SCHEMA, parse(text), root)
        answer, failed = run(text, values, root, "trio")
        assert answer == expected.data
        assert failed == [each.path for each in expected.errors or ()]
