"""Members have one name on the wire, in and out, and it is the one that schemas announce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from operations_testbed.plain import PlainCall, Service, by_document, plain
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, computed_field
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as checked

from covet_operations import operation
from covet_operations._aliases import by_alias


class Plain(BaseModel):
    id: int = 1


class Alias(BaseModel):
    book_id: int = Field(default=1, alias="id")


class TwoNames(BaseModel):
    book_id: int = Field(default=1, validation_alias="in", serialization_alias="out")


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    book_id: int = 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def full_title(self) -> str:
        return "Emma"


class Kept(BaseModel):
    model_config = ConfigDict(serialize_by_alias=False)

    book_id: int = Field(default=1, alias="id")


class Tree(BaseModel):
    nodes: list[Tree] = []


class Left(BaseModel):
    right: Right | None = None


class Right(BaseModel):
    left: Left | None = None
    book_id: int = Field(default=1, alias="id")


Left.model_rebuild()


@dataclass
class Shelf:
    first: Alias


@checked
class Cart:
    book_id: int = Field(default=1, alias="id")


@pytest.mark.parametrize(
    ("annotation", "value", "sent"),
    [
        (Plain, Plain(), b'{"id":1}'),
        (Alias, Alias(), b'{"id":1}'),
        (TwoNames, TwoNames(), b'{"out":1}'),
        (Camel, Camel(), b'{"bookId":1,"fullTitle":"Emma"}'),
        (Kept, Kept(), b'{"id":1}'),
        (Tree, Tree(nodes=[Tree()]), b'{"nodes":[{"nodes":[]}]}'),
        (Left, Left(right=Right()), b'{"right":{"left":null,"id":1}}'),
        (Right, Right(left=Left()), b'{"left":{"right":null},"id":1}'),
        (Shelf, Shelf(Alias()), b'{"first":{"id":1}}'),
        (Cart, Cart(), b'{"id":1}'),
        (dict[str, list[Alias | None]], {"a": [Alias(), None]}, b'{"a":[{"id":1},null]}'),
        (Annotated[Alias, "x"], Alias(), b'{"id":1}'),
    ],
)
def test_what_is_sent_is_what_schemas_say(annotation: Any, value: Any, sent: bytes) -> None:
    adapter = by_alias(TypeAdapter(annotation))
    assert adapter.serializer.to_json(value) == sent
    schema = adapter.json_schema(mode="serialization")
    members = schema.get("properties")
    if members is not None:
        assert set(adapter.serializer.to_python(value)) == set(members)


def test_types_without_aliases_cost_nothing() -> None:
    adapter = TypeAdapter(Plain)
    serializer = adapter.serializer
    assert by_alias(adapter).serializer is serializer
    assert by_alias(TypeAdapter(Tree)).serializer.__class__ is serializer.__class__


async def test_what_came_in_goes_out_by_the_same_names() -> None:
    @operation(effect="read")
    @plain("echo")
    def echo(book: Alias) -> Alias:
        return book

    (endpoint,) = Service(echo, codec=by_document).endpoints
    call = PlainCall(endpoint)
    call.document = b'{"id":7}'
    assert await endpoint.run(call) == b'{"id":7}'
