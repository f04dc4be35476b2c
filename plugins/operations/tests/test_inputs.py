"""The decode step: coercion is pydantic's, faults come all at once, defaults are the function's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operations_testbed.plain import Plain, PlainCall, Service, by_text, plain
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from covet_kernel.contracts import Capability, Operation
from covet_operations import Codec, DeadlineExceeded, Internal, Invalid, Signature, operation
from covet_operations._chain import Source, Written, compose_direct
from covet_operations._inputs import _document, _record, compile_decode, decode_layer


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
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


@given(st.text(alphabet="0123456789+-_ .e²٣\n", max_size=24) | st.text(max_size=8))
def test_the_fast_path_of_int_reads_what_pydantic_reads(value: str) -> None:
    endpoint, call = NUMBER.call(given={"n": value})
    try:
        expected = ADAPTERS["int"].validate_strings(value)
    except ValidationError:
        with pytest.raises(Invalid):
            endpoint.start(call).send(None)
    else:
        assert drive(endpoint.start(call)) == expected


@given(st.text())
def test_the_fast_path_of_str_reads_what_pydantic_reads(value: str) -> None:
    endpoint, call = TEXT.call(given={"n": value})
    assert drive(endpoint.start(call)) == ADAPTERS["str"].validate_strings(value)


class Marker:
    """Something in an annotation that only a transport knows."""


@operation(effect="read")
@plain()
def several(
    id: int,
    name: str,
    page: int = 1,
    q: str = "",
    until: int | None = None,
    word: Annotated[str | None, Marker()] = None,
    size: Annotated[int, Marker] = 10,
) -> None: ...


@operation(effect="read")
@plain()
def narrow(id: Annotated[int, Field(ge=1)], q: str = "") -> None: ...


@operation(effect="read")
@plain()
def mixed(id: int, day: date, q: str = "") -> None: ...


SEVERAL, NARROW, MIXED = (Service(each, codec=by_text) for each in (several, narrow, mixed))
ONE_TEXT = (
    st.integers(-1000, 10**20).map(str)
    | st.text(alphabet="0123456789+-_ .e²٣\n", max_size=21)
    | st.sampled_from(["", "None", "null", "2024-02-29", "9" * 5000])
    | st.text(max_size=4)
)
TEXTS = ONE_TEXT | st.lists(ONE_TEXT, max_size=2)


def outcome(function: Any, call: PlainCall) -> Any:
    """The arguments it leaves, with their types, or the faults it finds."""
    try:
        function(call)
    except Invalid as error:
        return error.detail, error.errors
    return {name: (type(value), value) for name, value in call.args.items()}


def layers_agree(service: Service, given: dict[str, Any]) -> Any:
    """What the layer as it is written into chains makes of texts; it has to be what the general step makes."""
    endpoint, call = service.call(given=given)
    codec = by_text(endpoint.operation, endpoint.signature, endpoint.binding)
    written = compose_direct(
        [decode_layer(endpoint.signature, codec)], lambda source: source.line("r = None")
    )
    general = outcome(compile_decode(endpoint.signature, codec), service.call(given=given)[1])
    assert outcome(written, call) == general
    return general


DIGITS = st.integers(0, 10**6).map(str)
ANY_TEXTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "name", "page", "q", "until", "word", "size"), TEXTS)
)
GOOD_TEXTS = st.fixed_dictionaries(
    {"id": DIGITS, "name": st.text()},
    optional={"page": DIGITS, "q": st.text(), "until": DIGITS, "word": st.text(), "size": DIGITS},
)


@given(ANY_TEXTS | GOOD_TEXTS)
def test_plain_texts_written_inline_agree_with_the_general_step(given: dict[str, Any]) -> None:
    found = layers_agree(SEVERAL, given)
    if isinstance(found, dict):
        for name, adapter in (("id", ADAPTERS["int"]), ("until", TypeAdapter(int | None))):
            text = given.get(name)
            if isinstance(text, str):
                assert found[name][1] == adapter.validate_strings(text)
    else:
        assert {fault["loc"][0] for fault in found[1]} <= {
            each.name for each in SEVERAL.endpoints[0].signature.inputs
        }


@given(st.fixed_dictionaries({}, optional={"id": TEXTS, "q": TEXTS, "day": TEXTS}))
def test_other_types_agree_too(given: dict[str, Any]) -> None:
    layers_agree(NARROW, given)
    layers_agree(MIXED, given)


def test_plain_texts_are_told_by_what_pydantic_makes_of_them() -> None:
    written = {}
    for service in (SEVERAL, NARROW, MIXED, NUMBER, TEXT):
        endpoint = service.endpoints[0]
        codec = by_text(endpoint.operation, endpoint.signature, endpoint.binding)
        layer = decode_layer(endpoint.signature, codec)
        source = Source()
        assert isinstance(layer, Written)
        assert layer.write is not None
        layer.write(source)
        written[endpoint.operation.handler.__name__] = any("if" in line for line in source.lines)
    assert written == {
        "several": True, "narrow": False, "mixed": False, "number": True, "text": True,
    }  # fmt: skip


def test_all_faults_of_plain_texts_come_at_once_and_in_order() -> None:
    endpoint, call = SEVERAL.call(given={"id": "x", "page": "1.5", "until": "", "q": "a"})
    with pytest.raises(Invalid) as caught:
        endpoint.start(call).send(None)
    assert [(fault["loc"], fault["type"]) for fault in caught.value.errors] == [
        (["id"], "int_parsing"),
        (["name"], "missing"),
        (["page"], "int_parsing"),
        (["until"], "int_parsing"),
    ]


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
        endpoint.start(call).send(None)
    except StopIteration:
        assert isinstance(call.args, dict)
        assert set(call.args) == {"id", "changes", "notify"}
    except Invalid as error:
        assert error.errors


CREATE = Service(create)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["title", "year", "x"]), inner)
    ),
    max_leaves=6,
)
TITLED = st.fixed_dictionaries(
    {"title": st.text(max_size=5)}, optional={"year": st.integers(), "x": st.none()}
)


@given(
    st.binary(max_size=30) | (VALUES | TITLED).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([bytes, bytearray, memoryview, "text", "parsed"]),
    st.booleans(),
)
def test_one_message_agrees_with_the_general_step(raw: bytes, form: Any, late: bool) -> None:
    """A model that is the whole document has a way of its own."""
    document: Any = raw
    if form == "text":
        document = raw.decode("latin-1")
    elif form == "parsed":
        try:
            document = json.loads(raw)
        except ValueError:
            return
        if not isinstance(document, dict):
            return
    else:
        document = form(raw)

    async def later(call: Any) -> Any:
        return document

    find: Any = later if late else (lambda call: document)
    endpoint, _ = CREATE.call()
    signature = endpoint.signature
    assert signature.inputs[0].spread
    codec: Codec[Any] = Codec(document=find, location=("body",))
    general = _document((), _record(signature.inputs, codec.location, True), find)

    def to_the_end(decode: Any) -> Any:
        def run(call: PlainCall) -> None:
            waiting = decode(call)
            assert (waiting is not None) == late
            if late:
                drive(waiting)

        return run

    found = outcome(to_the_end(compile_decode(signature, codec)), CREATE.call()[1])
    assert found == outcome(to_the_end(general), CREATE.call()[1])
    if not isinstance(found, dict):
        assert all(fault["loc"][0] == "body" for fault in found[1])


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


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("checks", [False, True])
@pytest.mark.parametrize(
    ("document", "ends"),
    [
        (b'{"n": 1}', "returned"),
        (b'{"n": 0}', "failed"),
        (b"{", "refused"),
        (b'{"n": -1}', "waits"),
    ],
)
async def test_what_a_document_opens_is_released_however_the_call_ends(
    late: bool, checks: bool, document: bytes, ends: str
) -> None:
    said: list[str] = []

    @operation(effect="read")
    @plain()
    async def divide(n: int) -> float:
        said.append("called")
        if n < 0:
            await anyio.sleep_forever()
        return 1 / n

    async def find(call: PlainCall) -> Any:
        said.append("opened")
        return call.document

    def find_now(call: PlainCall) -> Any:
        said.append("opened")
        return call.document

    async def release(call: PlainCall) -> None:
        said.append("released")

    def codec(*given: Any) -> Codec[PlainCall]:
        check = (lambda call: said.append("checked")) if checks else None
        return Codec(document=find if late else find_now, release=release, check=check)

    service = Service(divide, codec=codec)
    assert service.endpoints[0].direct is None
    with anyio.move_on_after(0 if ends == "waits" else 10):
        if ends == "returned":
            assert await service.run(document=document) == b"1.0"
        else:
            with pytest.raises((Internal, Invalid, DeadlineExceeded)):
                await service.run(document=document)
    called = [] if ends == "refused" else ["called"]
    assert said == [*(["checked"] if checks else []), "opened", *called, "released"]


class Numbered(BaseModel):
    n: int


@operation(effect="read")
@plain()
def both(n: int, book: Numbered) -> int:
    return n + book.n


async def test_a_model_with_a_field_of_the_same_name_is_a_member() -> None:
    # A message has one record for all inputs; transports with several places may do otherwise.
    service = Service(both)
    assert set(service.endpoints[0].signature.record.json_schema()["properties"]) == {"n", "book"}
    assert await service.run(document=b'{"n": 1, "book": {"n": 2}}') == b"3"
