"""Models taken apart into parameters, and put together again."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from covet_http._decode import _from_fields
from covet_http._fields import UnfitModelError, spread
from covet_http._problem import Malformed
from covet_http._target import BadTargetError, parse_query


class Inner(BaseModel):
    low: int | None = None
    high: int | None = None
    words: list[str] = []


class Outer(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str = ""
    inner: Inner = Inner()
    other: Annotated[Inner | None, Field(description="may be missing")] = None
    ids: set[int] = set()


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    one: int = Field(alias="first")
    two: int = Field(validation_alias=AliasChoices("second", "zweite"))


class Loop(BaseModel):
    value: int = 0
    next: Loop | None = None


@dataclass
class Point:
    x: int
    inner: Inner


class Typed(TypedDict):
    x: int


def test_names_are_those_of_the_wire() -> None:
    assert [*spread(Outer).leaves] == [
        "name", "inner.low", "inner.high", "inner.words", "other.low", "other.high", "other.words", "ids",
    ]  # fmt: skip
    assert [*spread(Named).leaves] == ["first", "one", "second", "zweite", "two"]
    assert [*spread(Point, prefix="p").leaves] == [
        "p.x",
        "p.inner.low",
        "p.inner.high",
        "p.inner.words",
    ]
    assert [*spread(Typed | None).leaves] == ["x"]
    assert spread(Outer).leaves["inner.words"].path == ("inner", "words")
    assert spread(Outer).inside == {"inner": ("inner",), "other": ("other",)}


def test_a_model_that_holds_itself_ends() -> None:
    assert [*spread(Loop).leaves] == ["value", *(f"{'next.' * n}value" for n in range(1, 5))]


def test_what_texts_cannot_stand_for_is_refused() -> None:
    class Path(BaseModel):
        x: int = Field(validation_alias=AliasPath("a", 0))

    class Twice(BaseModel):
        a: int = Field(alias="x")
        b: int = Field(alias="x")

    class Dotted(BaseModel):
        a: int = Field(alias="inner.low")
        inner: Inner = Inner()

    for model, says in (
        (Path, "a path for an alias"),
        (Twice, "called 'x'"),
        (Dotted, "called 'inner.low'"),
    ):
        with pytest.raises(UnfitModelError, match=says):
            spread(model)


def put_together(
    query: str, model: Any, prefix: str = "", others: frozenset[str] = frozenset()
) -> Any:
    find = _from_fields(spread(model, prefix=prefix), prefix, others, {})
    return find(SimpleNamespace(query=parse_query(query.encode(), limit=500)))  # type: ignore[arg-type]


def flattened(values: dict[str, Any], prefix: str = "") -> list[str]:
    pairs = []
    for name, value in values.items():
        if isinstance(value, dict):
            pairs += flattened(value, f"{prefix}{name}.")
        else:
            each = (
                sorted(value)
                if isinstance(value, set)
                else value
                if isinstance(value, list)
                else [value]
            )
            pairs += [f"{prefix}{name}={quote(str(part), safe='')}" for part in each]
    return pairs


INNER = st.builds(
    Inner,
    low=st.none() | st.integers(),
    high=st.none() | st.integers(),
    words=st.lists(
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=4), max_size=3
    ),
)


@given(
    st.builds(
        Outer,
        name=st.text("ab.&=+%", max_size=6),
        inner=INNER,
        ids=st.sets(st.integers(), max_size=3),
    )
)
def test_every_model_comes_back(outer: Outer) -> None:
    values = outer.model_dump(exclude_none=True)
    for prefix in ("", "deep"):
        query = "&".join(flattened(values, f"{prefix}." if prefix else ""))
        assert Outer.model_validate(put_together(query, Outer, prefix), strict=False) == outer


NAMES = st.text("abinerolw.", max_size=10) | st.sampled_from(
    [
        "inner",
        "inner.",
        "inner.low",
        "inner.low.x",
        "other.low",
        "name.x",
        "ids",
        ".",
        "..",
        "inner.inner.low",
    ]
)


@given(st.lists(st.tuples(NAMES, st.sampled_from(["1", "x", ""])), max_size=8))
def test_any_query_is_a_mapping_or_malformed(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"{name}={value}" for name, value in pairs)
    try:
        found = put_together(query, Outer, others=frozenset({"name.x"}))
    except (Malformed, BadTargetError):
        assert len(pairs) > 1 or pairs[0][0] in ("inner", "other")
    else:
        assert isinstance(found, dict)
        assert "name.x" not in found
        assert all(isinstance(found[name], dict) for name in ("inner", "other") if name in found)


def test_unknown_names_reach_the_model_that_would_have_them() -> None:
    assert put_together("inner.most=1&else=2&inner.a.b=3", Outer) == {
        "inner": {"most": "1", "a.b": "3"}, "else": "2",
    }  # fmt: skip
    assert put_together("p.x=1&q=2", Point, "p") == {"x": "1"}
    with pytest.raises(Malformed, match="'p' has fields"):
        put_together("p=1", Point, "p")
