"""msgspec Structs as inputs and results: msgspec does the work, faults look like any."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from operations_testbed.plain import Service, plain
from pydantic import TypeAdapter, ValidationError

from covet_operations import Invalid, operation
from covet_operations._errors import faults
from covet_operations._signature import adapter_of, record_adapter
from covet_operations._structs import mentions_struct


class Line(msgspec.Struct):
    book_id: int
    quantity: Annotated[int, msgspec.Meta(ge=1)] = 1


class Order(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    customer_name: str
    lines: list[Line] = []
    notes: dict[str, int] = {}


class Tree(msgspec.Struct):
    children: list[Tree] = []


@operation(effect="read")
@plain()
def order(given: Order) -> Order:
    return given


@operation(effect="read")
@plain()
def several(orders: list[Order], line: Line | None = None, n: int = 0) -> list[Line]:
    return [*(each for given in orders for each in given.lines), *([line] if line else [])] * (
        n or 1
    )


ORDER, SEVERAL = Service(order), Service(several)


async def test_a_struct_is_the_message_and_the_answer() -> None:
    given = b'{"customerName":"Ann","lines":[{"book_id":1}]}'
    expected = {"customerName": "Ann", "lines": [{"book_id": 1, "quantity": 1}], "notes": {}}
    assert json.loads(await ORDER.run(document=given)) == expected
    assert json.loads(await ORDER.run(document=json.loads(given))) == expected
    assert json.loads(await ORDER.run(document=memoryview(given))) == expected


async def test_structs_among_other_inputs() -> None:
    answer = await SEVERAL.run(
        document=b'{"orders":[{"customerName":"A","lines":[{"book_id":1}]}],"line":{"book_id":2},"n":2}'
    )
    assert [each["book_id"] for each in json.loads(answer)] == [1, 2, 1, 2]
    with pytest.raises(Invalid) as caught:
        await SEVERAL.run(
            document=b'{"orders":[{"customerName":1}],"line":{"book_id":"x"},"n":"y"}'
        )
    assert [(fault["loc"], fault["msg"]) for fault in caught.value.errors] == [
        (["orders"], "0.customerName: Expected 'str', got 'int'"),
        (["line"], "book_id: Expected 'int', got 'str'"),
        (["n"], "Input should be a valid integer, unable to parse string as an integer"),
    ]


@pytest.mark.parametrize(
    ("document", "loc", "kind"),
    [
        (b'{"lines":[]}', [], "struct_type"),
        (b'{"customerName":5}', ["customerName"], "struct_type"),
        (b'{"customerName":"A","lines":[{"book_id":1},{"book_id":1,"quantity":0}]}', ["lines", 1, "quantity"], "struct_type"),
        (b'{"customerName":"A","notes":{"a.b":"x"}}', ["notes", "..."], "struct_type"),
        (b'{"customerName":"A","other":1}', [], "struct_type"),
        (b"[]", [], "struct_type"),
        # bad input 41
        (b"", [], "json_invalid"),
        (b"{", [], "json_invalid"),
        (b'{"customerName":"\\ud800"}', [], "json_invalid"),
        (b'{"customerName":"\xff"}', [], "json_invalid"),
        (b'{"customerName":NaN}', [], "json_invalid"),
        (b'{"customerName":1e999999}', ["customerName"], "struct_type"),
        (b'{"customerName":"A","lines":' + b"[" * 100_000, ["lines", 0], "struct_type"),
        (b'{"lines":[{"x":' + b"[" * 100_000, [], "json_invalid"),
    ],
)  # fmt: skip
async def test_what_does_not_fit(document: bytes, loc: list[Any], kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        await ORDER.run(document=document)
    assert [(fault["loc"], fault["type"]) for fault in caught.value.errors] == [(loc, kind)]
    assert len(str(caught.value.errors)) < 300


def test_braces_in_a_message_stay() -> None:
    with pytest.raises(ValidationError) as caught:
        adapter_of(Order).validator.validate_json(b'{"customerName":"A","{x}":1}')
    assert faults(caught.value)[0]["msg"] == "Object contains unknown field '{x}'"


def test_texts_are_coerced() -> None:
    validator = adapter_of(Annotated[Line, "a marker"]).validator
    assert validator.validate_strings({"book_id": "7"}) == Line(7)
    assert validator.validate_python({"book_id": "7", "quantity": "2"}, strict=False) == Line(7, 2)
    with pytest.raises(ValidationError):
        validator.validate_python({"book_id": "7"})


def test_schemas_are_msgspecs() -> None:
    schema = adapter_of(list[Order]).json_schema()
    lines = schema["items"]["properties"]["lines"]["items"]
    assert schema["items"]["required"] == ["customerName"]
    assert lines["properties"]["quantity"] == {"type": "integer", "minimum": 1, "default": 1}
    assert adapter_of(Tree).json_schema()["properties"]["children"]["items"] == {
        "title": "Tree", "type": "object",
    }  # fmt: skip
    record = record_adapter(SEVERAL.endpoints[0].signature.inputs).json_schema()
    assert record["properties"]["orders"]["items"]["title"] == "Order"
    assert record["required"] == ["orders"]


def test_only_structs_are_msgspecs() -> None:
    for annotation in (int, list[int], dict[str, Any], Line | int, "Line"):
        assert mentions_struct(annotation) == (annotation == (Line | int))
    assert type(adapter_of(int).validator) is type(TypeAdapter(int).validator)


def test_a_struct_of_what_msgspec_does_not_know_is_refused() -> None:
    class Odd(msgspec.Struct):
        value: complex | TypeAdapter[int]

    with pytest.raises(TypeError):
        adapter_of(Odd)


@given(st.binary(max_size=60))
def test_any_document_is_an_order_or_a_fault(document: bytes) -> None:
    try:
        assert isinstance(adapter_of(Order).validator.validate_json(document), Order)
    except ValidationError as error:
        assert faults(error)
