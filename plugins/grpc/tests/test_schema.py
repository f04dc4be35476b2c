"""From types to messages: what stands for what, what is refused, and numbers that stay."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from grpc_served import compile_protos
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, computed_field, field_serializer

import covet_grpc as grpc
from covet_grpc._schema._lock import Lock, number, read_lock
from covet_grpc._schema._proto import proto_text
from covet_grpc._schema._schema import Schema, file_name
from covet_kernel import ConfigurationError, Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import assembly_of
from covet_operations import Operations, preview

pytestmark = pytest.mark.once


def schema_of(*functions: Callable[..., Any], lock: Lock | None = None) -> Schema:
    """The messages of functions, each bound as ``test.v1.Service/<Name>``."""
    operations = [
        Operation(name=function.__name__.title().replace("_", ""), handler=function)
        for function in functions
    ]

    class Declares(Plugin[None]):
        def covet_operations(self) -> Iterable[Operation]:
            return operations

    pipeline, serving = preview(assembly_of({"operations": Operations, "declares": Declares}))
    bound = [
        (each, f"test.v1.Service/{each.name}", pipeline.signature(serving, each))
        for each in operations
    ]
    return Schema(bound, lock)


def text_of(schema: Schema) -> str:
    (file,) = schema.files()
    return proto_text(file, schema.about())


class Line(BaseModel):
    """One line of an order.

    More of it.
    """

    title: str = Field(description="What is ordered.")
    count: int = 1


def test_the_proto_is_what_people_would_write() -> None:
    def place(lines: list[Line], note: str | None = None) -> Line:
        raise NotImplementedError

    assert text_of(schema_of(place)).splitlines() == [
        'syntax = "proto3";',
        "",
        "package test.v1;",
        "",
        "service Service {",
        "  rpc Place(PlaceRequest) returns (Line);",
        "}",
        "",
        "message PlaceRequest {",
        "  repeated Line lines = 1;",
        "  optional string note = 2;",
        "}",
        "",
        "// One line of an order.",
        "message Line {",
        "  // What is ordered.",
        "  string title = 1;",
        "  optional int64 count = 2;",
        "}",
    ]


def test_a_message_may_hold_itself() -> None:
    class Tree(BaseModel):
        name: str
        left: Tree | None = None
        others: list[Tree] = []

    Tree.model_rebuild(_types_namespace={"Tree": Tree})

    def grow(tree: Tree) -> Tree:
        return tree

    grow.__annotations__ = {"tree": Tree, "return": Tree}
    schema = schema_of(grow)
    method = schema.methods["test.v1.Service/Grow"]
    tree = Tree(name="a", left=Tree(name="b"), others=[Tree(name="c", left=Tree(name="d"))])
    data = schema.encode(method)(tree)
    assert Tree.model_validate(schema.decode(method)(data)) == tree


def test_what_is_computed_goes_out_and_does_not_come_in() -> None:
    class Total(BaseModel):
        each: int

        @computed_field
        @property
        def twice(self) -> int:
            return self.each * 2

    def total(given: Total) -> Total:
        return given

    total.__annotations__ = {"given": Total, "return": Total}
    schema = schema_of(total)
    method = schema.methods["test.v1.Service/Total"]
    message = schema.pool.FindMessageTypeByName("test.v1.Total")
    assert [each.name for each in message.fields] == ["each", "twice"]
    data = schema.encode(method)(Total(each=4))
    assert data == b"\x08\x04\x10\x08"
    assert schema.decode(method)(data) == {"each": 4}


def test_aliases_are_names_in_json_only() -> None:
    class Named(BaseModel):
        model_config = ConfigDict(validate_by_name=False)
        book_id: int = Field(alias="bookId")
        odd: int = Field(default=0, alias='o"d\n')

    def named(given: Named) -> None: ...

    named.__annotations__ = {"given": Named, "return": None}
    schema = schema_of(named)
    method = schema.methods["test.v1.Service/Named"]
    assert schema.decode(method)(b"\x08\x07") == {"bookId": 7}
    assert 'int64 book_id = 1 [json_name = "bookId"];' in text_of(schema)
    # bad input 75
    assert '[json_name = "o\\u0022d\\u000a"]' in text_of(schema)


class Color(Enum):
    RED = 1
    LIGHT_BLUE = "blue"


def test_enumerations_have_a_name_for_nothing() -> None:
    def paint(color: Color, others: list[Color]) -> Color:
        return color

    schema = schema_of(paint)
    assert text_of(schema).splitlines()[-5:] == [
        "enum Color {",
        "  COLOR_UNSPECIFIED = 0;",
        "  COLOR_RED = 1;",
        "  COLOR_LIGHT_BLUE = 2;",
        "}",
    ]
    method = schema.methods["test.v1.Service/Paint"]
    decode, encode = schema.decode(method), schema.encode(method)
    assert decode(b"\x08\x02\x12\x02\x01\x02") == {"color": "blue", "others": [1, "blue"]}
    # What is not given, and what nobody knows, is left to be refused.
    assert decode(b"") == {"others": []}
    assert decode(b"\x08\x09")["color"] == 9
    assert encode(Color.LIGHT_BLUE) == b"\x08\x02"


def test_numbers_are_held_to_their_range() -> None:
    def small(x: int) -> Annotated[int, grpc.Wire("int32")]:
        return x

    schema = schema_of(small)
    encode = schema.encode(schema.methods["test.v1.Service/Small"])
    assert encode(-1) == b"\x08" + b"\xff" * 9 + b"\x01"
    for wrong in (1 << 31, -(1 << 31) - 1):
        with pytest.raises(ValueError, match="int32"):
            encode(wrong)


class Masked(BaseModel):
    card: str

    @field_serializer("card")
    def mask(self, value: str) -> str:
        return "***"


class Secretive(BaseModel):
    card: Annotated[str, PlainSerializer(lambda value: "***")]


@pytest.mark.parametrize(
    "kind",
    [
        int | str, list[list[int]], list[int | None], dict[float, int], dict[str, list[int]],
        tuple[int, str], Masked, Secretive, list[int] | None, Literal["a", 1],
        Annotated[str, grpc.Wire("int32")],
    ],
    ids=str,
)  # fmt: skip
def test_types_that_cannot_be_said_are_refused(kind: Any) -> None:
    """A serializer that hides something must not be passed by."""

    def give(x: int) -> None: ...

    give.__annotations__ = {"x": int, "return": kind}
    (error,) = schema_of(give).errors
    assert isinstance(error, ConfigurationError)
    assert error.code == "COVET-GRPC-TYPE"


def test_two_classes_of_one_name_are_refused() -> None:
    def make(field: str) -> Any:
        return type("Same", (BaseModel,), {"__annotations__": {field: int}})

    first, second = make("a"), make("b")

    def one(x: Any) -> None: ...
    def two(x: Any) -> None: ...

    one.__annotations__, two.__annotations__ = (
        {"x": first, "return": None},
        {"x": second, "return": None},
    )
    (error,) = schema_of(one, two).errors
    assert "two types would be the message test.v1.Same" in str(error)


def test_files_are_named_for_their_package() -> None:
    assert file_name("shop.v1") == "shop/v1/shop.proto"
    assert file_name("shop") == "shop/shop.proto"
    assert file_name("") == "service.proto"


# Numbers.


def numbers(schema: Schema, message: str) -> dict[str, int]:
    descriptor = schema.pool.FindMessageTypeByName(f"test.v1.{message}")
    return {each.name: each.number for each in descriptor.fields}


def model(name: str, **fields: Any) -> Any:
    return type(name, (BaseModel,), {"__annotations__": fields})


def taking(kind: Any) -> Callable[..., None]:
    def take(given: Any) -> None: ...

    take.__annotations__ = {"given": kind, "return": None}
    return take


def test_numbers_stay_whatever_moves_goes_and_comes(tmp_path: Path) -> None:
    first = schema_of(taking(model("Item", a=int, b=str, c=int)))
    assert numbers(first, "Item") == {"a": 1, "b": 2, "c": 3}
    path = tmp_path / "lock.json"
    first.lock.write(path)
    lock = read_lock(path)
    assert lock == first.lock

    second = schema_of(taking(model("Item", c=int, d=int, a=str)), lock=lock)
    assert numbers(second, "Item") == {"c": 3, "d": 4, "a": 5}
    assert sorted(map(str, second.changes)) == [
        "test.v1.Item.a is new",
        "test.v1.Item.a was int64 and is string",
        "test.v1.Item.b is gone",
        "test.v1.Item.d is new",
    ]
    second.lock.write(path)
    third = schema_of(taking(model("Item", b=str, c=int, d=int, a=str)), lock=read_lock(path))
    # What is back has a number that nobody had before.
    assert numbers(third, "Item") == {"b": 6, "c": 3, "d": 4, "a": 5}
    text = text_of(third)
    assert "reserved 1, 2;" in text
    (tmp_path / "test.proto").write_text(text)
    assert compile_protos(tmp_path)("test.v1.Item")


def test_names_of_enumerations_stay_too() -> None:
    first = schema_of(taking(Enum("Kind", {"A": "a", "B": "b"})))
    second = schema_of(taking(Enum("Kind", {"C": "c", "B": "b"})), lock=first.lock)
    assert second.lock.enums["test.v1.Kind"] == {
        "KIND_UNSPECIFIED": 0, "KIND_B": 2, "KIND_C": 3,
    }  # fmt: skip
    assert "reserved 1;" in text_of(second)


def test_messages_that_are_not_served_now_keep_their_numbers() -> None:
    first = schema_of(taking(model("Item", a=int)))
    second = schema_of(taking(model("Other", a=int)), lock=first.lock)
    assert second.lock.messages["test.v1.Item"] == first.lock.messages["test.v1.Item"]


@pytest.mark.parametrize(
    "data",
    [
        "", "[]", "{}", '{"version": 2, "messages": {}, "enums": {}, "reserved": {}}',
        '{"version": 1, "messages": {"A": {"a": {"number": 0, "type": "int64"}}}, "enums": {}, "reserved": {}}',
        '{"version": 1, "messages": {"A": {"a": {"number": true, "type": "int64"}}}, "enums": {}, "reserved": {}}',
        '{"version": 1, "messages": {"A": {"a": {"number": 1, "type": "int64"}}}, "enums": {}, "reserved": {"A": {"b": 1}}}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_lock_is_refused(tmp_path: Path, data: str) -> None:
    path = tmp_path / "lock.json"
    path.write_text(data)
    with pytest.raises(ConfigurationError) as caught:
        read_lock(path)
    assert caught.value.code == "COVET-GRPC-LOCK-FILE"


def test_the_numbers_protobuf_keeps_for_itself_are_passed_over() -> None:
    lock = Lock()
    lock.messages["test.v1.Item"] = {"a": (18_999, "int64")}
    schema = schema_of(taking(model("Item", a=int, b=int)), lock=lock)
    assert numbers(schema, "Item") == {"a": 18_999, "b": 20_000}
    assert json.loads(json.dumps(schema.lock.as_data()))["version"] == 1
    assert number([], [], None)[1] == []
