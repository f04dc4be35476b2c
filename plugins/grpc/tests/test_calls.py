"""The official client of Google's, synchronous and asynchronous, against every kind of method."""

from __future__ import annotations

import datetime as dt
import queue
import uuid
from typing import Any

import grpc
import pytest
from grpc_served import EVERYWHERE, Served

pytestmark = pytest.mark.parametrize("served", EVERYWHERE, indirect=True, scope="module")


def test_a_unary_call_is_answered(served: Served, channel: grpc.Channel) -> None:
    book = served.stub(channel, "GetBook")(served.make("GetBookRequest", id=7))
    assert (book.id, book.title, [each.name for each in book.authors]) == (
        7,
        "Emma",
        ["Jane Austen"],
    )
    assert (
        served.stub(channel, "GetBook")(served.make("GetBookRequest", id=7, loud=True)).title
        == "EMMA"
    )


def test_every_type_comes_back_as_it_went(served: Served, channel: grpc.Channel) -> None:
    book = served.make("Book", id=3, title="Persuasion", price="12.50", genre="GENRE_POEMS")
    book.authors.add(name="Jane", born="1775-12-16")
    book.tags.update({"old": 1, "read": -5})
    book.added.FromDatetime(dt.datetime(2026, 1, 2, 3, 4, 5, 678000, dt.UTC))
    book.lent_for.FromTimedelta(dt.timedelta(days=-2, microseconds=5))
    book.size.width, book.size.height = 1.5, -2.0
    book.key = str(uuid.UUID(int=5))
    book.cover, book.shelf = b"\0\1", -3
    book.ratings.extend([1.0, 0.0, -1.5])
    book.notes.update({"a": [1, None, {"b": True}]})
    book.secret = "never answered"
    answer = served.stub(channel, "Echo")(book)
    assert answer.secret == ""
    book.ClearField("secret")
    assert answer == book


def test_what_is_no_message_is_wrapped_in_one(served: Served, channel: grpc.Channel) -> None:
    said = served.stub(channel, "Say")(served.make("SayRequest", text="ünïcödé \U0001f4d6"))
    assert said.value == "ünïcödé \U0001f4d6"
    assert served.stub(channel, "Say")(served.make("SayRequest")).value == ""


def test_streams_out_come_whole_and_in_order(served: Served, channel: grpc.Channel) -> None:
    books = served.stub(channel, "ListBooks")(served.make("ListBooksRequest", count=200))
    assert [book.id for book in books] == list(range(1, 201))
    assert list(served.stub(channel, "ListBooks")(served.make("ListBooksRequest"))) == []


def test_streams_come_in(served: Served, channel: grpc.Channel) -> None:
    books = (served.make("Book", id=number, title="t") for number in range(1, 101))
    assert served.stub(channel, "Import")(books).value == 100
    assert served.stub(channel, "Import")(iter(())).value == 0


@pytest.mark.parametrize("method", ["Import", "Chat"])
def test_a_stream_in_is_answered_before_it_says_anything(
    served: Served, channel: grpc.Channel, method: str
) -> None:
    said: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stub = served.stub(channel, method)
    begun = stub.future if method == "Import" else stub
    call = begun(iter(said.get, None), timeout=30)
    assert "date" in dict(call.initial_metadata())
    if method == "Chat":
        said.put(served.make("ChatRequest", value="a"))
        assert next(call).value == "A"
        said.put(None)
        assert list(call) == []
    else:
        # A failure is in the trailers then.
        said.put(served.make("Book", id=1, title="stop"))
        assert call.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert call.details() == "no more"
        said.put(None)


def test_both_sides_stream_at_once(served: Served, channel: grpc.Channel) -> None:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    asked = (served.make("ChatRequest", value=line) for line in iter(lines.get, None))
    answers = served.stub(channel, "Chat")(asked, timeout=60)
    for number in range(10):
        # The next line is not even said before this one is answered.
        lines.put(f"line {number}")
        assert next(answers).value == f"LINE {number}"
    lines.put(None)
    assert list(answers) == []
