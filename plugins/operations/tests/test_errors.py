"""Typed errors: fields, slugs, what callers see of anything else."""

from __future__ import annotations

import pytest
from operations_testbed.plain import Service, plain
from pydantic import TypeAdapter, ValidationError

from covet_kernel.contracts import SqlConflictError, SqlUnavailableError, StoreLimitError
from covet_operations import (
    Conflict,
    ErrorKind,
    ErrorMapping,
    Gone,
    Internal,
    Invalid,
    NotFound,
    OperationError,
    Unavailable,
    operation,
)


class OutOfStock(Conflict):
    """Fewer copies are left than were ordered.

    More text.
    """

    book_id: int
    left: int = 0


class Renamed(Gone):
    code = "moved-away"
    title = "It moved"


def test_subclass_fields_are_keywords_and_serialised() -> None:
    error = OutOfStock("only 2 left", book_id=7, left=2)
    assert error.describe() == {
        "code": "out-of-stock",
        "kind": "conflict",
        "title": "Fewer copies are left than were ordered",
        "detail": "only 2 left",
        "book_id": 7,
        "left": 2,
    }
    assert OutOfStock(book_id=1).fields() == {"book_id": 1, "left": 0}
    with pytest.raises(TypeError, match="book_id"):
        OutOfStock("no book")  # type: ignore[call-arg]


def test_code_and_title_can_be_given() -> None:
    assert (Renamed.code, Renamed.title, Renamed.kind) == ("moved-away", "It moved", ErrorKind.GONE)
    assert str(Renamed()) == "moved-away: It moved"


@pytest.mark.parametrize("name", ["type", "title", "status", "code", "kind"])
def test_fields_cannot_be_called_like_what_every_error_has(name: str) -> None:
    with pytest.raises(TypeError, match=f"Sold has a field '{name}', which every error has"):
        type("Sold", (Conflict,), {"__annotations__": {name: str}})


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("OutOfStock", "out-of-stock"),
        ("HalfARequest", "half-a-request"),
        ("HTTPFailure", "http-failure"),
        ("NoSQL", "no-sql"),
        ("V2Gone", "v2-gone"),
    ],
)
def test_codes_are_the_words_of_the_name(name: str, code: str) -> None:
    assert type(name, (Conflict,), {}).code == code


def test_every_kind_has_a_class() -> None:
    kinds = {each.kind for each in OperationError.__subclasses__()}
    assert kinds == set(ErrorKind)


def test_validation_faults_do_not_echo() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("hunter2")
    error = Invalid.from_validation(caught.value, "query", "n")
    assert error.errors[0]["loc"] == ["query", "n"]
    assert "hunter2" not in str(error.describe())


class BrokenPipe(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OutOfStock(book_id=1), OutOfStock),
        (SqlConflictError("secret"), Conflict),
        (SqlUnavailableError("secret"), Unavailable),
        (BrokenPipe("secret"), Unavailable),
        (ValueError("secret"), Internal),
        (TimeoutError("secret"), Internal),
        (ExceptionGroup("g", [OutOfStock(book_id=1)]), OutOfStock),
        (ExceptionGroup("g", [ExceptionGroup("h", [BrokenPipe("secret")])]), Unavailable),
        (ExceptionGroup("g", [NotFound(), OutOfStock(book_id=1)]), NotFound),
        # A bug must not hide behind a refusal.
        (ExceptionGroup("g", [NotFound(), ValueError("secret")]), Internal),
    ],
)
async def test_every_exception_becomes_one_typed_error(
    raised: Exception, expected: type[OperationError], caplog: pytest.LogCaptureFixture
) -> None:
    @operation(effect="read")
    @plain()
    def fail() -> None:
        raise raised

    mapping = ErrorMapping(exception=BrokenPipe, answer=Unavailable, detail="try again")
    with pytest.raises(OperationError) as caught:
        await Service(fail, error_mappings=[mapping]).run()
    assert type(caught.value) is expected
    assert "secret" not in str(caught.value.describe())
    assert len(caplog.records) == (1 if expected is Internal else 0)


async def test_errors_for_schemas() -> None:
    @operation(effect="read", requires=("p",), errors=(OutOfStock, StoreLimitError))
    @plain()
    def fail(n: int) -> None: ...

    service = Service(fail)
    (only,) = service.serving.operations
    names = [each.__name__ for each in service.pipeline.errors(service.serving, only)]
    assert names == [
        "OutOfStock", "TooLarge", "Invalid", "Unauthenticated", "Forbidden",
        "DeadlineExceeded", "Cancelled", "Internal",
    ]  # fmt: skip
