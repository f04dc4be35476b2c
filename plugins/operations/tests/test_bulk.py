"""Many items in one call: validated one by one, run one by one or all together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from covet_kernel.contracts import SqlIntegrityError
from covet_operations import (
    Bulk,
    BulkFailed,
    BulkResult,
    Checked,
    Conflict,
    Internal,
    Invalid,
    TooLarge,
)


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    book: int
    copies: int = Field(ge=1)


class SoldOut(Conflict):
    """There are no more."""

    book: int


LINES = TypeAdapter(list[Checked[Line]])


def lines(*books: Any) -> list[Checked[Line]]:
    return LINES.validate_python([{"book": book, "copies": 1} for book in books])


async def order(line: Line) -> str:
    if line.book == 13:
        raise SoldOut("none left", book=13)
    if line.book == 14:
        raise SqlIntegrityError("UNIQUE secret")
    if line.book == 15:
        raise RuntimeError("a secret")
    return f"ordered {line.book}"


# Checked items.


def test_items_are_validated_one_by_one() -> None:
    text = b'[{"book": 1, "copies": 1}, {"book": "1", "copies": 0, "x": 1}, 7]'
    first, second, third = LINES.validate_json(text)
    assert first.value == Line(book=1, copies=1)
    assert first.error is None
    assert second.error is not None
    assert [fault["loc"] for fault in second.error.errors] == [["book"], ["copies"], ["x"]]
    with pytest.raises(Invalid):
        second.value  # noqa: B018
    with pytest.raises(Invalid):
        third.value  # noqa: B018


def test_the_schema_is_the_item_s() -> None:
    schema = TypeAdapter(Annotated[list[Checked[Line]], Field(max_length=5)]).json_schema()
    assert schema["maxItems"] == 5
    assert schema["items"] == {"$ref": "#/$defs/Line"}
    with pytest.raises(ValueError, match="at most 5"):
        TypeAdapter(Annotated[list[Checked[Line]], Field(max_length=5)]).validate_python([1] * 6)


# Each on its own.


async def test_each_item_has_its_outcome(caplog: pytest.LogCaptureFixture) -> None:
    items = [*lines(1, 13, 14, 15), *LINES.validate_python([{"book": 2}]), *lines(3)]
    result = await Bulk().each(items, order)
    assert (result.succeeded, result.failed) == (2, 4)
    assert [each.index for each in result.outcomes] == list(range(6))
    assert [each.value for each in result.outcomes] == ["ordered 1", *[None] * 4, "ordered 3"]
    sold_out, integrity, bug, misfit = (each.error for each in result.outcomes[1:5])
    assert sold_out.fields() == {"book": 13}
    assert (type(integrity), type(bug), type(misfit)) == (Conflict, Internal, Invalid)
    assert "a secret" in caplog.text
    sent = TypeAdapter(BulkResult[str]).dump_json(result)
    assert b"secret" not in sent
    shown = TypeAdapter(BulkResult[str]).dump_python(result, mode="json")["outcomes"]
    assert shown[1]["error"] == {
        "code": "sold-out", "kind": "conflict", "title": "There are no more",
        "detail": "none left", "book": 13,
    }  # fmt: skip
    assert shown[0] == {"index": 0, "value": "ordered 1", "error": None}


async def test_a_stream_keeps_what_failed_and_counts_the_rest() -> None:
    closed = []

    async def stream() -> AsyncIterator[Checked[Line]]:
        try:
            for number in range(100):
                for item in lines(13 if number % 2 else number + 100):
                    yield item
        finally:
            closed.append(True)

    result = await Bulk(max_items=10).each(stream(), order, keep="failed")
    assert (result.succeeded, result.failed, len(result.outcomes)) == (50, 50, 10)
    assert [each.index for each in result.outcomes] == list(range(1, 20, 2))
    assert closed == [True]


async def test_limits() -> None:
    done: list[int] = []

    async def run(line: Line) -> None:
        done.append(line.book)

    async def stream() -> AsyncIterator[Checked[Line]]:
        for item in lines(*range(9)):
            yield item

    bulk = Bulk(max_items=3)
    with pytest.raises(TooLarge):
        await bulk.each(lines(1, 2, 3, 4), run)
    with pytest.raises(TooLarge):
        await bulk.all(lines(1, 2, 3, 4), run)
    assert done == []
    with pytest.raises(TooLarge):
        await bulk.each(stream(), run)
    assert done == [0, 1, 2]
    assert (await bulk.each(lines(), run)).outcomes == []


async def test_a_call_that_is_cut_off_closes_the_stream() -> None:
    done: list[int] = []
    closed: list[bool] = []

    async def stream() -> AsyncIterator[Checked[Line]]:
        try:
            for item in lines(1, 2, 3):
                yield item
        finally:
            closed.append(True)

    async def run(line: Line) -> None:
        done.append(line.book)
        if line.book == 2:
            await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(Bulk().each, stream(), run))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert (done, closed) == ([1, 2], [True])


# All or none.


async def test_all_items_succeed() -> None:
    assert await Bulk().all(lines(1, 2), order) == ["ordered 1", "ordered 2"]


async def test_the_first_that_fails_ends_it() -> None:
    done: list[int] = []

    async def run(line: Line) -> str:
        done.append(line.book)
        return await order(line)

    with pytest.raises(BulkFailed) as caught:
        await Bulk().all(lines(1, 13, 2), run)
    assert (caught.value.index, caught.value.error["code"]) == (1, "sold-out")
    assert done == [1, 13]
    with pytest.raises(RuntimeError):
        await Bulk().all(lines(15), run)


async def test_what_does_not_fit_is_told_before_anything_is_run() -> None:
    async def run(line: Line) -> None:
        raise AssertionError

    items = [*lines(1), *LINES.validate_python([{"book": 2}, {"book": "x", "copies": 1}])]
    with pytest.raises(Invalid) as caught:
        await Bulk().all(items, run)
    assert [fault["loc"] for fault in caught.value.errors] == [[1, "copies"], [2, "book"]]


@given(st.lists(st.sampled_from(["fits", "misfit", "fails"]), max_size=20))
def test_counts_and_outcomes_agree(kinds: list[str]) -> None:
    raw = {
        "fits": {"book": 1, "copies": 1},
        "misfit": {"book": 1, "copies": 0},
        "fails": {"book": 13, "copies": 1},
    }
    items = LINES.validate_python([raw[kind] for kind in kinds])
    result = anyio.run(Bulk().each, items, order)
    assert result.succeeded == kinds.count("fits")
    assert result.failed == len(kinds) - result.succeeded
    assert [each.error is None for each in result.outcomes] == [kind == "fits" for kind in kinds]
