"""Errors: the code, the message, and the details that say which error it is."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_served import EVERYWHERE, Served
from grpc_status import rpc_status

pytestmark = pytest.mark.parametrize("served", EVERYWHERE, indirect=True, scope="module")


def refused(call: Any, *args: Any, **more: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **more)
    return caught.value


def details(error: Any) -> dict[str, Any]:
    """The details of an error by the name of their type."""
    status = rpc_status.from_call(error)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    found = {}
    for each in status.details:
        name = each.type_url.rpartition(".")[2]
        found[name] = message = getattr(error_details_pb2, name)()
        assert each.Unpack(message)
    return found


def test_an_error_of_the_service_has_its_code_and_fields(
    served: Served, channel: grpc.Channel
) -> None:
    error = refused(served.stub(channel, "GetBook"), served.make("GetBookRequest", id=101))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "no book has the number 101"
    info = details(error)["ErrorInfo"]
    assert (info.reason, info.domain) == ("NO_SUCH_BOOK", "library.v1.Books")
    assert info.metadata == {"book_id": "101"}


def test_a_class_of_errors_may_have_a_code_of_its_own(
    served: Served, channel: grpc.Channel
) -> None:
    error = refused(served.stub(channel, "Borrow"), served.make("BorrowRequest", id=1))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert details(error)["ErrorInfo"].reason == "ON_LOAN"


def test_when_to_come_back_is_said(served: Served, channel: grpc.Channel) -> None:
    error = refused(served.stub(channel, "Borrow"), served.make("BorrowRequest", id=2))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details(error)["RetryInfo"].retry_delay.ToMilliseconds() == 1500


def test_a_bug_says_nothing_of_itself(
    served: Served, channel: grpc.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    error = refused(served.stub(channel, "Borrow"), served.make("BorrowRequest", id=3))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in repr(details(error)) + error.details()
    assert "secret" in caplog.text


def test_inputs_that_do_not_fit_are_named(served: Served, channel: grpc.Channel) -> None:
    error = refused(served.stub(channel, "Echo"), served.make("Book", id=-1, title="x", price="no"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = details(error)["BadRequest"].field_violations
    assert sorted(each.field for each in found) == ["id", "price"]
    assert all(each.description and each.reason for each in found)


def test_who_calls_is_asked_first(served: Served, channel: grpc.Channel) -> None:
    add, book = served.stub(channel, "AddBook"), served.make("Book", id=-1)
    assert refused(add, book).code() is grpc.StatusCode.UNAUTHENTICATED
    for token in ("wrong", "nobody"):
        error = refused(add, book, metadata=[("authorization", f"Bearer {token}")])
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    ann = [("authorization", "Bearer ann")]
    assert refused(add, book, metadata=ann).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert add(served.make("Book", id=1, title="Emma"), metadata=ann).value == "ann has added Emma"


def test_a_stream_that_fails_has_its_error_behind_the_items(
    served: Served, channel: grpc.Channel
) -> None:
    books = served.stub(channel, "ListBooks")(served.make("ListBooksRequest", count=9, fail_at=3))
    assert [next(books).id for _ in range(3)] == [1, 2, 3]
    error = refused(next, books)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert details(error)["ErrorInfo"].metadata["book_id"] == "3"


def test_an_answer_may_come_before_the_stream_in_has_ended(
    served: Served, channel: grpc.Channel
) -> None:
    def books() -> Any:
        yield served.make("Book", id=1, title="stop")
        for number in range(2, 10_000):
            yield served.make("Book", id=number, title="more")

    error = refused(served.stub(channel, "Import"), books())
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_an_item_that_does_not_fit_is_numbered(served: Served, channel: grpc.Channel) -> None:
    books = [served.make("Book", id=1, title="x"), served.make("Book", id=0, title="x")]
    error = refused(served.stub(channel, "Import"), iter(books))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in details(error)["BadRequest"].field_violations] == ["1.id"]


def test_a_method_that_is_not_there(served: Served, channel: grpc.Channel) -> None:
    for name in ("library.v1.Books/Nothing", "library.v1.Nobody/GetBook"):
        error = refused(channel.unary_unary(f"/{name}"), b"")
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
