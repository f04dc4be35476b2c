"""No input is an infinite number, unless its type says that it may be."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from covet_operations import Invalid
from covet_operations._finite import finite
from covet_operations._inputs import refuse_constants


class Inner(BaseModel):
    x: float = 0


class Free(BaseModel):
    model_config = ConfigDict(allow_inf_nan=True)
    x: float = 0
    inner: Inner = Inner()


class Cat(BaseModel):
    kind: Literal["cat"]
    type: Any = None


class Dog(BaseModel):
    kind: Literal["dog"]
    x: float = 0


class Node(BaseModel):
    default: float = 0
    next: Node | None = None


@dataclass
class Point:
    x: float


class Typed(TypedDict):
    x: float


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("annotation", "template"),
    [
        (float, "%s"),
        (float | None, "%s"),
        (Any, "%s"),
        (Any, '[1,{"a":[%s]}]'),
        (dict[str, Any], '{"a":[[%s]]}'),
        (Annotated[float, Field(ge=0)], "%s"),
        (list[float], "[0,%s]"),
        (dict[str, float], '{"a":%s}'),
        (tuple[int, float], "[0,%s]"),
        (set[float], "[%s]"),
        (float | str, "%s"),
        (Inner, '{"x":%s}'),
        (list[Inner], '[{"x":%s}]'),
        (Free, '{"inner":{"x":%s}}'),
        (Pet, '{"kind":"dog","x":%s}'),
        (Pet, '{"kind":"cat","type":[%s]}'),
        (Node, '{"next":{"next":{"default":%s}}}'),
        (Point, '{"x":%s}'),
        (Typed, '{"x":%s}'),
    ],
)
def test_they_are_refused_wherever_they_stand(annotation: Any, template: str) -> None:
    # bad input 41
    validator = finite(TypeAdapter(annotation)).validator
    validator.validate_json(template % "1.5")
    for number in ("1e999999", "-1e999"):
        with pytest.raises(ValidationError) as caught:
            validator.validate_json(template % number)
        assert "finite_number" in {each["type"] for each in caught.value.errors()}


@pytest.mark.parametrize(
    ("annotation", "document"),
    [
        (Free, '{"x":1e999}'),
        (Annotated[float, Field(allow_inf_nan=True)], "1e999"),
        (int, "5"),
        (str, '"inf"'),
        (Inner, "{}"),
    ],
)
def test_who_allows_them_gets_them(annotation: Any, document: str) -> None:
    adapter = TypeAdapter(annotation)
    expected = adapter.validate_json(document)
    assert finite(adapter).validator.validate_json(document) == expected


def test_models_without_floats_keep_their_validator() -> None:
    class Plain(BaseModel):
        n: int
        text: str = ""

    assert finite(TypeAdapter(Plain)).validator is Plain.__pydantic_validator__
    assert finite(TypeAdapter(Inner)).validator is not Inner.__pydantic_validator__
    assert Inner.model_validate_json('{"x":1e999}').x == math.inf


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def has_infinite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(has_infinite(each) for each in parts)


ANY = finite(TypeAdapter[Any](Any)).validator


@given(JSON_VALUES)
def test_any_data_is_searched_through(value: Any) -> None:
    if has_infinite(value):
        with pytest.raises(ValidationError):
            ANY.validate_python(value)
    else:
        assert ANY.validate_python(value) == value


@pytest.mark.parametrize(
    "document", ["NaN", "[Infinity]", '{"a":-Infinity}', '"NaN" NaN', "NaNNaN"]
)
def test_what_is_no_json_is_refused(document: str) -> None:
    # bad input 41
    for form in (
        document,
        document.encode(),
        bytearray(document.encode()),
        memoryview(document.encode()),
    ):
        with pytest.raises(Invalid) as caught:
            refuse_constants(form, ("body",))
        (fault,) = caught.value.errors
        assert (fault["loc"], fault["type"]) == (["body"], "json_invalid")


@pytest.mark.parametrize(
    "document", ['"NaN"', '["Infinity", "\\"NaN"]', "{}", "Nan", b"\xff", None, {"a": math.nan}]
)
def test_what_only_looks_like_it_is_left_to_the_validator(document: Any) -> None:
    refuse_constants(document)


def test_a_validator_of_its_own_is_made_once_when_it_is_first_used() -> None:
    adapter = finite(TypeAdapter(Inner))
    assert vars(copy(adapter.validator)).keys() == {"_schema"}
    with pytest.raises(ValidationError, match="finite"):
        adapter.validate_json(b'{"x": 1e999}')
    made = vars(adapter.validator)["_made"]
    assert adapter.validate_python({"x": "2.5"}) == Inner(x=2.5)
    assert adapter.get_default_value() is None
    assert vars(adapter.validator)["_made"] is made
