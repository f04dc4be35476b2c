"""Results that are not what the annotation says are made so, or refused: nothing slips out."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NewType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from operations_testbed.plain import PlainCall, Service, plain
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from covet_operations import Internal, operation
from covet_operations._fit import fit_of


class Book(BaseModel):
    id: int
    title: str = Field(default="Emma", alias="name")


class Limited(Book):
    cost: int = 7


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: int


@dataclass
class Shelf:
    id: int
    books: list[Book]


class Line(msgspec.Struct):
    id: int


class Row:
    """As a mapper of tables has it."""

    def __init__(self, **columns: Any) -> None:
        self.__dict__.update(columns)


BookId = NewType("BookId", int)
DAY = dt.date(2026, 11, 28)
SECRET = {"id": 1, "cost": 3}


def fitted(annotation: Any, value: Any, *, optional: bool = False) -> Any:
    fit = fit_of("shop.find", annotation, TypeAdapter(annotation), optional=optional)
    assert fit is not None
    return fit(value)


@pytest.mark.parametrize(
    ("annotation", "value", "sent"),
    [
        (Book, SECRET, b'{"id":1,"name":"Emma"}'),
        (Book, {"id": 1, "title": "x"}, b'{"id":1,"name":"x"}'),
        (Book, Row(id="1", cost=3), b'{"id":1,"name":"Emma"}'),
        (Annotated[Book, "x"], SECRET, b'{"id":1,"name":"Emma"}'),
        (Book | None, SECRET, b'{"id":1,"name":"Emma"}'),
        (Shelf, {"id": 1, "books": [SECRET], "cost": 3}, b'{"id":1,"books":[{"id":1,"name":"Emma"}]}'),
        (list[Book], [Book(id=2), Row(id=3)], b'[{"id":2,"name":"Emma"},{"id":3,"name":"Emma"}]'),
        (list[Book], (Book(id=each) for each in (2, 3)), b'[{"id":2,"name":"Emma"},{"id":3,"name":"Emma"}]'),
        (list[list[Book]], [[SECRET]], b'[[{"id":1,"name":"Emma"}]]'),
        (list[Book | None], [None, SECRET], b'[null,{"id":1,"name":"Emma"}]'),
        (tuple[Book, ...], [SECRET], b'[{"id":1,"name":"Emma"}]'),
        (Sequence[Book], [SECRET], b'[{"id":1,"name":"Emma"}]'),
        (dict[str, Book], {"a": SECRET}, b'{"a":{"id":1,"name":"Emma"}}'),
        (dict[str, list[Book]], {"a": [SECRET]}, b'{"a":[{"id":1,"name":"Emma"}]}'),
        (int, "5", b"5"),
        (BookId, "5", b"5"),
        (dt.date, "2026-11-28", b'"2026-11-28"'),
        (list[int], (1, 2), b"[1,2]"),
    ],
)  # fmt: skip
def test_what_is_something_else_is_made_what_is_announced(
    annotation: Any, value: Any, sent: bytes
) -> None:
    serializer = TypeAdapter(annotation).serializer
    assert serializer.to_json(fitted(annotation, value), by_alias=True) == sent


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Book, Book(id=1)),
        (Book, Limited(id=1)),
        (Book | Shelf, Shelf(1, [])),
        (Book | None, None),
        (list[Book], [Book(id=1), Limited(id=2)]),
        (list[Book], []),
        (dict[str, Book], {"a": Book(id=1)}),
        (int, True),
        (float, 3),
        (bytes, memoryview(b"x")),
        (dt.date, DAY),
        (str, "x"),
    ],
)
def test_what_fits_is_left_alone(annotation: Any, value: Any) -> None:
    assert fitted(annotation, value) is value


@pytest.mark.parametrize(
    "annotation",
    [Any, None, object, dict[str, Any], tuple[int, str], Book | dict[str, Any], dict[str, int], "x"],
)  # fmt: skip
def test_where_anything_goes_nothing_is_looked_at(annotation: Any) -> None:
    assert fit_of("shop.find", annotation, TypeAdapter(Any)) is None


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (Book, {"cost": "s3cret"}, "shop.find returned a dict which is no Book: id: Field required"),
        (Book, {"id": "s3cret"}, "id: Input should be a valid integer"),
        (Book, None, "returned a NoneType which is no Book"),
        (Strict, {"id": 1, "s": "s3cret"}, "s: Extra inputs are not permitted"),
        (int, "s3cret", "returned a str which is no int: it: Input should be"),
        (list[Book], [{}] * 9, "0.id: Field required; 1.id: Field required; 2.id: Field required; and 6 more"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_so_is_refused_without_its_values(
    annotation: Any, value: Any, told: str
) -> None:
    with pytest.raises(TypeError) as caught:
        fitted(annotation, value)
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_none_in_place_of_a_result_of_the_transport() -> None:
    assert fitted(Book, None, optional=True) is None


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=3)),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["id", "title", "name", "cost"]), inner, max_size=4)
        ),
        max_leaves=9,
    )
)
def test_no_member_gets_out_that_was_not_announced(value: Any) -> None:
    try:
        made = fitted(list[Book], value)
    except TypeError:
        return
    assert all(set(each) == {"id", "title"} for each in TypeAdapter(list[Book]).dump_python(made))


async def test_handlers_are_held_to_it() -> None:
    @operation(effect="read")
    @plain("mapping")
    def mapping() -> Book:
        return SECRET  # type: ignore[return-value]

    @operation(effect="read")
    @plain("struct")
    async def struct() -> list[Line]:
        return [SECRET, Row(id=2)]  # type: ignore[list-item]

    @operation(effect="read")
    @plain("wrong")
    async def wrong() -> Book:
        return {"name": "s3cret"}  # type: ignore[return-value]

    @operation(effect="read")
    @plain("stream")
    async def stream() -> AsyncIterator[Book]:
        yield Book(id=1)
        yield SECRET  # type: ignore[misc]

    service = Service(mapping, struct, wrong, stream)
    first, second, third, fourth = service.endpoints
    assert await first.run(PlainCall(first)) == b'{"id":1,"name":"Emma"}'
    assert await second.run(PlainCall(second)) == b'[{"id":1},{"id":2}]'
    with pytest.raises(Internal):
        await third.run(PlainCall(third))
    call = PlainCall(fourth)
    await fourth.run(call)
    assert call.sent == [b'{"id":1,"name":"Emma"}'] * 2


async def test_interceptors_see_what_is_sent() -> None:
    @operation(effect="read")
    @plain("mapping")
    def mapping() -> Book:
        return SECRET  # type: ignore[return-value]

    (endpoint,) = Service(mapping).endpoints
    call = PlainCall(endpoint)
    await endpoint.run(call)
    assert call.value == Book(id=1)
