"""The schemas of a document: every type once, whoever asks and in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, TypeAdapter, computed_field, create_model

from covet_operations import JsonSchemas


class Author(BaseModel):
    name: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def initial(self) -> str:
        return self.name[:1]


class Book(BaseModel):
    title: str
    author: Author


def test_nothing_wanted_is_nothing_generated() -> None:
    schemas = JsonSchemas()
    schemas.generate()
    assert schemas.components == {}


def test_a_model_is_one_component_however_often_it_is_met() -> None:
    schemas = JsonSchemas()
    book, author = schemas.want(Book, "validation"), schemas.want(list[Author], "validation")
    assert book.schema == {}
    schemas.generate()
    assert book.schema == {"$ref": JsonSchemas.reference("Book")}
    assert author.schema["items"] == {"$ref": JsonSchemas.reference("Author")}
    assert schemas.components.keys() == {"Author", "Book"}
    assert schemas.resolved(book.schema)["properties"] == {
        "title": {"type": "string"},
        "author": {"$ref": "#/components/schemas/Author"},
    }


def test_one_adapter_is_asked_once_for_each_direction() -> None:
    schemas = JsonSchemas()
    adapter = TypeAdapter(Author)
    taken = schemas.want(adapter, "validation")
    assert schemas.want(adapter, "validation") is taken
    given = schemas.want(adapter, "serialization")
    assert given is not taken
    schemas.generate()
    assert list(schemas.resolved(taken.schema)["properties"]) == ["name"]
    assert list(schemas.resolved(given.schema)["properties"]) == ["name", "initial"]


@pytest.mark.parametrize("order", [1, -1])
def test_models_of_one_name_have_names_that_no_order_changes(order: int) -> None:
    one = create_model("Author", __module__="a", name=(str, ...))
    two = create_model("Author", __module__="b", born=(int, ...))
    schemas = JsonSchemas()
    for model in [one, two][::order]:
        schemas.want(model, "validation")
    schemas.generate()
    assert sorted(schemas.components) == ["a__Author", "b__Author"]


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_nothing_is_said_of_what_has_no_schema(
    mode: Literal["validation", "serialization"],
) -> None:
    schemas = JsonSchemas()
    wanted: Any = schemas.want(dict[str, Callable[[], None]], mode)
    schemas.generate()
    assert wanted.schema["type"] == "object"
    assert "$ref" not in wanted.schema


def test_a_reference_that_leads_to_itself_is_left() -> None:
    schemas = JsonSchemas()
    schemas.components = {"Loop": {"$ref": JsonSchemas.reference("Loop")}}
    assert schemas.resolved({"$ref": JsonSchemas.reference("Loop")}) == schemas.components["Loop"]
