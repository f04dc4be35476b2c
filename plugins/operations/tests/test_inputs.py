"""The decode step: coercion is pydantic's, faults come all at once, defaults are the function's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operations_testbed.plain import Plain, PlainCall, Service, by_text, plain
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from covet_kernel.contracts import Capability, Operation
from covet_operations import Codec, Invalid, Signature, operation


@operation(effect="read")
@plain()
def number(n: int) -> int:
    return n


@operation(effect="read")
@plain()
def optional(n: int = 5) -> int:
    return n


@operation(effect="read")
@plain()
def text(n: str) -> str:
    return n


NUMBER, TEXT = Service(number, codec=by_text), Service(text, codec=by_text)
PORT = Capability[int]("test.port")
ADAPTERS: dict[str, TypeAdapter[Any]] = {"int": TypeAdapter(int), "str": TypeAdapter(str)}


def drive(coroutine: Any) -> Any:
    """Run a coroutine that does not wait."""
    with pytest.raises(StopIteration) as caught:
        coroutine.send(None)
    return caught.value.value


@given(st.text(alphabet="0123456789+-_ .e²٣\n", max_size=24) | st.text(max_size=8))
def test_the_fast_path_of_int_reads_what_pydantic_reads(value: str) -> None:
    endpoint, call = NUMBER.call(given={"n": value})
    try:
        expected = ADAPTERS["int"].validate_strings(value)
    except ValidationError:
        with pytest.raises(Invalid):
            endpoint._chain(call).send(None)  # type: ignore[attr-defined]
    else:
        assert drive(endpoint._chain(call)) == expected


@given(st.text())
def test_the_fast_path_of_str_reads_what_pydantic_reads(value: str) -> None:
    endpoint, call = TEXT.call(given={"n": value})
    assert drive(endpoint._chain(call)) == ADAPTERS["str"].validate_strings(value)


async def test_absent_text() -> None:
    with pytest.raises(Invalid) as caught:
        await NUMBER.run(given={})
    assert caught.value.errors == [{"loc": ["n"], "msg": "Field required", "type": "missing"}]
    assert await Service(optional, codec=by_text).run(given={}) == b"5"
    # bad input 41: the last of a repeated value counts, an empty one is no integer
    assert await NUMBER.run(given={"n": ["1", "2"]}) == b"2"
    with pytest.raises(Invalid):
        await NUMBER.run(given={"n": ""})


@operation(effect="read")
@plain()
def search(
    words: list[str],
    day: date | None = None,
    limit: Annotated[int, Field(ge=1)] = 10,
    *,
    loud: bool = False,
) -> dict[str, Any]:
    return {"words": words, "day": day, "limit": limit, "loud": loud}


async def test_many_texts() -> None:
    service = Service(search, codec=by_text)
    given = {"words": ["a", "b"], "day": "2024-02-29", "loud": "true"}
    assert json.loads(await service.run(given=given)) == {
        "words": ["a", "b"], "day": "2024-02-29", "limit": 10, "loud": True,
    }  # fmt: skip
    assert json.loads(await service.run(given={"words": "a"}))["words"] == ["a"]
    with pytest.raises(Invalid) as caught:
        await service.run(given={"day": "2023-02-29", "limit": "0", "loud": "perhaps"})
    assert [fault["loc"][0] for fault in caught.value.errors] == ["words", "day", "limit", "loud"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    year: int = 1800


@dataclass
class Point:
    x: int
    y: int


@operation(effect="read")
@plain()
def update(id: int, changes: Strict, notify: bool = False) -> dict[str, Any]:
    return {"id": id, "title": changes.title, "notify": notify}


@operation(effect="read")
@plain()
def create(book: Strict) -> str:
    return book.title


@operation(effect="read")
@plain()
def span(one: Point, two: Point) -> int:
    return two.x - one.x


async def test_the_only_model_is_spread() -> None:
    expected = {"id": 1, "title": "Emma", "notify": True}
    document = b'{"id": 1, "title": "Emma", "notify": true}'
    assert json.loads(await Service(update).run(document=document)) == expected
    assert json.loads(await Service(update).run(document=json.loads(document))) == expected
    assert await Service(create).run(document=b'{"title": "Emma"}') == b'"Emma"'
    assert (
        await Service(span).run(document=b'{"one": {"x": 1, "y": 0}, "two": {"x": 5, "y": 0}}')
        == b"4"
    )
    with pytest.raises(Invalid) as caught:
        await Service(update).run(document=b'{"id": "x", "title": 5, "other": 1}')
    assert {fault["type"] for fault in caught.value.errors} == {
        "int_parsing", "string_type", "extra_forbidden",
    }  # fmt: skip


async def test_text_and_document_together() -> None:
    def codec(operation: Operation, signature: Signature, binding: Plain) -> Codec[PlainCall]:
        async def read(call: PlainCall) -> bytes:
            return bytes(call.document)

        return Codec(
            text={"id": lambda call: call.given.get("id")},
            text_location={"id": "path"},
            document=read,
            location=("body",),
        )

    service = Service(update, codec=codec)
    answer = await service.run(given={"id": "3"}, document=b'{"title": "Emma"}')
    assert json.loads(answer) == {"id": 3, "title": "Emma", "notify": False}
    with pytest.raises(Invalid) as caught:
        await service.run(given={"id": "x"}, document=b'{"title": 1}')
    assert [fault["loc"] for fault in caught.value.errors] == [["path", "id"], ["body", "title"]]


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[", b"[]", b"null", b'"x"', b'{"id": 1', b"\xff\xfe", b'{"id": NaN}',
        b'{"id": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"id":' * 50_000, b'{"id": "\\ud800"}',
        b'{"id": 1e999999, "title": "x"}',
    ],
)  # fmt: skip
async def test_broken_documents_are_invalid_and_not_echoed(document: bytes) -> None:
    # bad input 41
    for service in (Service(update), Service(number)):
        with pytest.raises(Invalid) as caught:
            await service.run(document=document)
        assert len(str(caught.value.describe())) < 1000


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "title", "x"]), inner),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_document_is_an_answer_or_invalid(document: bytes) -> None:
    endpoint, call = UPDATE.call()
    call.document = document
    try:
        endpoint._chain(call).send(None)  # type: ignore[attr-defined]
    except StopIteration:
        assert isinstance(call.args, dict)
        assert set(call.args) == {"id", "changes", "notify"}
    except Invalid as error:
        assert error.errors


UPDATE = Service(update)


async def test_output_follows_the_return_annotation() -> None:
    @operation(effect="read")
    @plain("made")
    async def made() -> list[Point]:
        return [Point(1, 2)]

    @operation(effect="read")
    @plain()
    def nothing() -> None: ...

    service = Service(made, nothing)
    assert await service.run(0) == b'[{"x":1,"y":2}]'
    assert await service.run(1) == b"null"
    assert [each.signature.output_type for each in service.endpoints] == [list[Point], None]


async def test_extra_inputs_can_be_ignored() -> None:
    from covet_operations import OperationsConfig

    service = Service(number, config=OperationsConfig(refuse_extra=False))
    assert await service.run(document=b'{"n": 1, "m": 2}') == b"1"


async def test_a_capability_of_a_built_in_type_fills_no_input_unasked() -> None:
    @operation(effect="read")
    @plain()
    def add(n: int, port: Annotated[int, PORT]) -> int:
        return n + port

    assert await Service(add, provided={PORT: 80}).run(document=b'{"n": 2}') == b"82"
