"""The table of changes as another program judges it, and where that is mistaken."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from npm_judge import judged
from test_openapi_diff import BREAKS, HARMLESS, OLD, RISKY, Edit, changed

pytestmark = pytest.mark.once

CASES: dict[str, tuple[Edit, bool]] = {
    **{f"breaking: {name}": (edit, True) for name, (edit, *_) in BREAKS.items()},
    **{f"risky: {name}": (edit, False) for name, (edit, *_) in RISKY.items()},
    **{f"compatible: {name}": (edit, False) for name, (edit, *_) in HARMLESS.items()},
}
"""Each with whether it is breaking here."""

DIFFERS = {
    "breaking: permission": "one more scope is more than a caller may have",
    "breaking: member that is refused": "it does not look whether others are allowed",
    "breaking: any value in an answer": "it looks for values that are gone, not for a list that is",
    "breaking: deep in an answer": "it does not follow a reference that leads in circles",
    "breaking: unique": "it does not know uniqueItems",
    "risky: longer answers": "only who made room for the old limit is broken",
    "risky: default": "the request that leaves it out is taken as before",
    "compatible: case of a header": "names of headers have no case",
    "compatible: wider type": "it compares lists of types as words",
    "compatible: null is taken": "it compares lists of types as words",
    "compatible: no credentials": "there was a requirement of nothing before",
}
"""What it says the opposite of, and why it is not followed there."""


@pytest.fixture(scope="module")
def breaking() -> dict[str, bool]:
    def document(given: dict[str, Any]) -> dict[str, Any]:
        # The newest version that it knows.
        return {**copy.deepcopy(given), "openapi": "3.0.3"}

    pairs = [[document(OLD), document(changed(edit))] for edit, _ in CASES.values()]
    found = judged("openapi.mjs", pairs)
    return {name: "breaking" in types for name, types in zip(CASES, found, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_the_other_program_agrees(breaking: dict[str, bool], name: str) -> None:
    _, expected = CASES[name]
    assert breaking[name] == (expected if name not in DIFFERS else not expected)
