"""Results that only one transport can send, and what a codec may do about answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import NoneType
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import anyio
import anyio.lowlevel
import pytest
from operations_testbed.database import Database
from operations_testbed.plain import Plain, PlainCall, Service
from pydantic import BaseModel

from covet_kernel.contracts import SQL, Call, Layer, Phase
from covet_operations import Codec, Conflict, TransportResult, mark, operation
from covet_operations._results import split_results

T = TypeVar("T")


class Elsewhere(TransportResult):
    def __init__(self, to: str) -> None:
        self.to = to


class Marked(TransportResult, Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value


class Book(BaseModel):
    id: int


class Able(Plain):
    """Of a transport that has such results."""

    result_type: ClassVar[type[TransportResult] | None] = TransportResult


able = mark(Able(protocol="plain", address="able"))


@pytest.mark.parametrize(
    ("annotation", "results", "rest"),
    [
        (int, (), int),
        (Annotated[int, "x"], (), Annotated[int, "x"]),
        (int | None, (), int | None),
        (Elsewhere, (Elsewhere,), NoneType),
        (Annotated[Elsewhere, "x"], (Elsewhere,), NoneType),
        (Book | Elsewhere, (Elsewhere,), Book),
        (Book | Elsewhere | None, (Elsewhere,), Book | None),
        (Annotated[Book | Elsewhere, "x"], (Elsewhere,), Book),
        (Marked[Book], (Marked,), Book),
        (Marked[Book] | Book, (Marked,), Book),
        (Marked[int] | Elsewhere, (Marked, Elsewhere), int),
        (Marked, (Marked,), Any),
    ],
)
def test_annotations_are_split(annotation: Any, results: Any, rest: Any) -> None:
    assert split_results(annotation) == (results, rest)


async def test_the_codec_gets_them_as_they_are() -> None:
    @operation(effect="read")
    @able
    def find(id: int) -> Book | Elsewhere:
        return Book(id=id) if id else Elsewhere("/books/1")

    def codec(op: Any, signature: Any, binding: Any) -> Codec[PlainCall]:
        assert signature.results == (Elsewhere,)
        assert signature.output_type is Book
        to_json = signature.output.serializer.to_json

        def encode(call: PlainCall, value: Any) -> bytes:
            return value.to.encode() if isinstance(value, Elsewhere) else to_json(value)

        return Codec(document=lambda call: call.document, encode=encode)

    service = Service(find, codec=codec)
    assert await service.run(document=b'{"id": 7}') == b'{"id":7}'
    assert await service.run(document=b'{"id": 0}') == b"/books/1"


@pytest.mark.parametrize("around", [False, True])
async def test_an_answer_may_have_to_be_fetched(around: bool) -> None:
    @operation(effect="read")
    @able
    def find() -> int:
        return 1

    async def encode(call: PlainCall, value: int) -> bytes:
        await anyio.lowlevel.checkpoint()
        return b"fetched %d" % value

    class Around:
        name, phase, after, before = "around", Phase.OBSERVE, (), ()

        def bind(self, op: Any, binding: Any) -> Layer:
            async def replaced(call: Call, inner: Any) -> Any:
                return await inner(call) + 1

            return Layer(around=replaced)

    service = Service(
        find,
        codec=lambda *_: Codec(encode=encode),
        interceptors=[Around()] if around else [],
    )
    assert service.endpoints[0].direct is None
    assert await service.run() == (b"fetched 2" if around else b"fetched 1")


async def test_a_caller_that_has_enough_ends_the_stream() -> None:
    made: list[str] = []

    @operation(effect="read")
    @able
    async def count() -> AsyncIterator[int]:
        try:
            for number in range(100):
                made.append(str(number))
                yield number
        finally:
            made.append("closed")

    service = Service(count, codec=lambda *_: Codec(enough=lambda call: len(call.sent) == 3))
    endpoint, call = service.call()
    assert await endpoint.run(call) is None
    assert call.sent == [b"0", b"1", b"2"]
    assert made == ["0", "1", "2", "closed"]


def delivering(journal: list[str]) -> Callable[..., Codec[PlainCall]]:
    async def deliver(call: PlainCall, chain: Callable[[PlainCall], Awaitable[Any]]) -> Any:
        journal.append("in")
        try:
            result = await chain(call)
            journal.append(f"deliver {call.body!r}")
            await call.send(call.body)
            await anyio.lowlevel.checkpoint()
            if call.given == "fails":
                raise Conflict("too late")
            if call.given == "hangs":
                await anyio.sleep_forever()
            return result
        finally:
            journal.append("out")

    return lambda *_: Codec(deliver=deliver)


async def test_what_is_left_is_delivered_behind_the_commit() -> None:
    database = Database()

    @operation(effect="write", transaction="write")
    @able
    async def write() -> int:
        database.journal.append("handler")
        return 7

    service = Service(write, provided={SQL: database}, codec=delivering(database.journal))
    endpoint, call = service.call()
    assert endpoint.direct is None
    assert await endpoint.run(call) == b"7"
    assert call.sent == [b"7"]
    assert database.journal == ["in", "begin", "handler", "commit", "deliver b'7'", "out"]
    database.close()


async def test_a_delivery_that_fails_is_the_calls_error() -> None:
    @operation(effect="read")
    @able
    def read() -> int:
        return 7

    journal: list[str] = []
    service = Service(read, codec=delivering(journal))
    endpoint, call = service.call(given="fails")
    with pytest.raises(Conflict, match="too late"):
        await endpoint.run(call)
    assert journal[-1] == "out"


async def test_a_delivery_is_cancelled_with_its_call() -> None:
    @operation(effect="read", deadline=0.05)
    @able
    def read() -> int:
        return 7

    journal: list[str] = []
    service = Service(read, codec=delivering(journal))
    endpoint, call = service.call(given="hangs")
    with anyio.fail_after(5), pytest.raises(Exception, match="longer than it may"):
        await endpoint.run(call)
    assert journal[-1] == "out"
