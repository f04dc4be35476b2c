"""Typed errors: one vocabulary for every protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, ClassVar, dataclass_transform

from pydantic import ValidationError


class ErrorKind(Enum):
    """What went wrong, in the words all protocols share. Each transport maps kinds to its statuses."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    GONE = "gone"
    PRECONDITION_FAILED = "precondition_failed"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    UNSUPPORTED = "unsupported"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"


_TAKEN = frozenset({"type", "title", "status", "code", "kind"})
"""What errors of every class have on the wire, so that no field can be called so."""


_WORDS_BEGIN = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class _Fields:
    """Gives annotated attributes of a subclass to its constructor, as keywords."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        for item in fields(cls):  # type: ignore[arg-type]
            if item.name in _TAKEN:
                raise TypeError(
                    f"{cls.__name__} has a field {item.name!r}, which every error has in a sense of its own:"
                    " give the field another name, or drop the annotation to set it for the class"
                )


class OperationError(_Fields, Exception):
    """An error a caller is meant to see.

    Subclass it; annotated attributes are serialised::

        class OutOfStock(Conflict):
            \"\"\"Fewer copies are left than were ordered.\"\"\"

            book_id: int
            left: int

        raise OutOfStock("only 2 are left", book_id=7, left=2)

    Attributes:
        kind: Decides the status on every protocol.
        code: Stable slug, unique per process; made from the class name unless given.
        title: What all errors of this class have in common; the docstring's first line unless given.
        detail: What is true of this one. Goes to the caller: never put a secret or another
            exception's text into it.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.INTERNAL
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "The service failed"

    detail: str = field(default="", kw_only=False)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in cls.__dict__:
            cls.code = _WORDS_BEGIN.sub("-", cls.__name__).lower()
        if "title" not in cls.__dict__:
            written = (
                "__doc__" in cls.__dict__
                and cls.__doc__
                and not cls.__doc__.startswith(f"{cls.__name__}(")
            )
            cls.title = (
                (cls.__doc__ or "").strip().splitlines()[0].rstrip(".")
                if written
                else _words(cls.code)
            )

    def fields(self) -> dict[str, Any]:
        """The attributes the subclasses added, by name."""
        return {
            item.name: getattr(self, item.name) for item in fields(self) if item.name != "detail"
        }

    def describe(self) -> dict[str, Any]:
        """The error as plain data: code, kind, title, detail and the fields."""
        return {
            "code": self.code,
            "kind": self.kind.value,
            "title": self.title,
            "detail": self.detail,
            **self.fields(),
        }

    def __str__(self) -> str:
        return f"{self.code}: {self.detail or self.title}"


def _words(code: str) -> str:
    return code.replace("-", " ").capitalize()


class Invalid(OperationError):
    """The input is not valid.

    Attributes:
        errors: One ``{"loc": [...], "msg": ..., "type": ...}`` per fault. Input values are not echoed.
    """

    kind = ErrorKind.INVALID
    errors: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_validation(cls, error: ValidationError, *prefix: str) -> Invalid:
        """The same faults without the values that caused them."""
        return cls("the input does not fit", errors=faults(error, *prefix))


# What pydantic says of the dataclass that holds a record, in the words of somebody who sent JSON.
_WORDS = {
    "unexpected_keyword_argument": ("extra_forbidden", "Extra inputs are not permitted"),
    "dataclass_type": ("object_type", "Input should be an object"),
}


def faults(error: ValidationError, *prefix: str | int) -> list[dict[str, Any]]:
    """A validation error as ``{loc, msg, type}`` records."""
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        kind, message = _WORDS.get(item["type"], (item["type"], item["msg"]))
        found.append({"loc": [*prefix, *item["loc"]], "msg": message, "type": kind})
    return found


class Unauthenticated(OperationError):
    """Credentials are missing or wrong."""

    kind = ErrorKind.UNAUTHENTICATED


class Forbidden(OperationError):
    """The caller may not do this."""

    kind = ErrorKind.FORBIDDEN


class NotFound(OperationError):
    """There is no such thing."""

    kind = ErrorKind.NOT_FOUND


class Conflict(OperationError):
    """The state of things does not allow it."""

    kind = ErrorKind.CONFLICT


class Gone(OperationError):
    """It was here and is not coming back."""

    kind = ErrorKind.GONE


class PreconditionFailed(OperationError):
    """A condition the caller set does not hold."""

    kind = ErrorKind.PRECONDITION_FAILED


class TooLarge(OperationError):
    """The input is over a limit."""

    kind = ErrorKind.TOO_LARGE


class RateLimited(OperationError):
    """Too many calls.

    Attributes:
        retry_after: Seconds after which another try may pass, ``None`` if unknown.
    """

    kind = ErrorKind.RATE_LIMITED
    retry_after: float | None = None


class Unsupported(OperationError):
    """The form of the input is not supported."""

    kind = ErrorKind.UNSUPPORTED


class DeadlineExceeded(OperationError):
    """The call took longer than it was allowed."""

    kind = ErrorKind.DEADLINE_EXCEEDED


class Cancelled(OperationError):
    """The call was cancelled."""

    kind = ErrorKind.CANCELLED


class Unavailable(OperationError):
    """Something the service needs cannot be reached; trying again may help."""

    kind = ErrorKind.UNAVAILABLE


class Unimplemented(OperationError):
    """The operation is not available here."""

    kind = ErrorKind.UNIMPLEMENTED


class Internal(OperationError):
    """The service failed."""

    kind = ErrorKind.INTERNAL
