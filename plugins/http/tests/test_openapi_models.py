"""Models that are taken apart, as the document shows them: a parameter for each field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import covet_http as http


class Price(BaseModel):
    least: Annotated[int, Field(ge=0, description="In cents.")]
    most: int | None = None


class Wish(BaseModel):
    title: str = Field(min_length=2, alias="t")
    price: Price
    budget: Price | None = None
    tags: list[str] = []
    accept: str = ""


@dataclass
class Plain:
    left: int
    right: int = 7
    more: list[int] = field(default_factory=list)


class Typed(TypedDict):
    one: int
    two: NotRequired[Annotated[int, Field(le=9)]]


@http.get("/wishes")
async def by_query(wish: Annotated[Wish, http.Query()]) -> None: ...


@http.get("/plain")
async def by_dataclass(plain: Annotated[Plain, http.Query()]) -> None: ...


@http.get("/typed")
async def by_typed_dict(typed: Annotated[Typed, http.Query()]) -> None: ...


@pytest.mark.parametrize(
    ("path", "place", "expected"),
    [
        (
            "/wishes",
            "query",
            {
                "t": ({"type": "string", "minLength": 2}, True),
                "price.least": (
                    {"type": "integer", "minimum": 0, "description": "In cents."},
                    True,
                ),
                "price.most": ({"type": "integer"}, False),
                "budget.least": (
                    {"type": "integer", "minimum": 0, "description": "In cents."},
                    False,
                ),
                "budget.most": ({"type": "integer"}, False),
                "tags": ({"type": "array", "items": {"type": "string"}, "default": []}, False),
                "accept": ({"type": "string", "default": ""}, False),
            },
        ),
        (
            "/plain",
            "query",
            {
                "left": ({"type": "integer"}, True),
                "right": ({"type": "integer"}, False),
                "more": ({"type": "array", "items": {"type": "integer"}}, False),
            },
        ),
        (
            "/typed",
            "query",
            {
                "one": ({"type": "integer"}, True),
                "two": ({"type": "integer", "maximum": 9}, False),
            },
        ),
    ],
)
async def test_each_field_is_a_parameter(
    web: Any, path: str, place: str, expected: dict[str, Any]
) -> None:
    async with web.serving(by_query, by_dataclass, by_typed_dict) as shop:
        document = (await shop.ask("GET", "/openapi.json")).json
        shown = document["paths"][path]["get"]["parameters"]
        assert {each["in"] for each in shown} == {place}
        found = {each["name"]: (each["schema"], each.get("required", False)) for each in shown}
        assert found == expected
