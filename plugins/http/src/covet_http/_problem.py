"""Errors on the wire: RFC 9457 ``application/problem+json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from pydantic_core import from_json, to_json

from covet_http._challenges import BEARER, Challenges
from covet_operations import ErrorKind, Invalid, OperationError

Headers: TypeAlias = "list[tuple[bytes, bytes]]"

STATUS: Final[Mapping[ErrorKind, int]] = {
    ErrorKind.INVALID: 422,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.GONE: 410,
    ErrorKind.PRECONDITION_FAILED: 412,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.RATE_LIMITED: 429,
    ErrorKind.UNSUPPORTED: 415,
    ErrorKind.DEADLINE_EXCEEDED: 504,
    ErrorKind.CANCELLED: 503,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.UNIMPLEMENTED: 501,
    ErrorKind.INTERNAL: 500,
}

ERRORS: Final = range(400, 600)
"""The statuses that an error can have."""

# The client is no longer there to read it; access logs are.
CLIENT_CLOSED_REQUEST: Final = 499
CONTENT_TYPE: Final = b"application/problem+json"


class Malformed(OperationError):
    """The request is malformed."""

    kind = ErrorKind.INVALID


class NotAcceptable(OperationError):
    """The answer has no form that the client takes."""

    kind = ErrorKind.UNSUPPORTED


class BodyTimeout(OperationError):
    """The request took too long to arrive."""

    kind = ErrorKind.DEADLINE_EXCEEDED


class RangeNotSatisfiable(OperationError):
    """The range that was asked for is beyond the end.

    Attributes:
        size: How many bytes there are.
    """

    kind = ErrorKind.INVALID

    size: int


def status_of(error: OperationError) -> int:
    """The status an error is answered with."""
    if isinstance(error, Invalid) and any(
        fault["type"] == "json_invalid" for fault in error.errors
    ):
        return 400
    return status_of_class(type(error))


def own_status(error: type[Exception]) -> int | None:
    """The status that a class asks for with ``http_status``, where none of a kind's would do."""
    status: int | None = getattr(error, "http_status", None)
    return status


def status_of_class(error: type[OperationError]) -> int:
    """The status that errors of a class are answered with."""
    own = own_status(error)
    if own is not None and own in ERRORS:
        return own
    if issubclass(error, Malformed):
        return 400
    if issubclass(error, BodyTimeout):
        return 408
    if issubclass(error, NotAcceptable):
        return 406
    if issubclass(error, RangeNotSatisfiable):
        return 416
    return STATUS[error.kind]


def joined(common: Sequence[tuple[bytes, bytes]], said: Headers) -> Headers:
    """Headers of every answer and those of one, which count more; ``Vary`` adds up."""
    if not said:
        return [*common]
    names = {name for name, _ in said}
    kept = [
        line for line in common if line[0] not in names or (line[0] == b"vary" and line not in said)
    ]
    return [*kept, *said]


class Problems:
    """Renders problem documents.

    Args:
        base: Prefix of ``type``; an error's code follows.
        common: Headers of every answer, errors or not.
        challenges: What `Unauthenticated` says of the credentials that are taken.
    """

    def __init__(
        self,
        base: str,
        common: Sequence[tuple[bytes, bytes]] = (),
        challenges: Challenges = BEARER,
    ) -> None:
        self._base = base
        self._challenges = challenges
        self.common = tuple(common)

    def extended(self, lines: Sequence[tuple[bytes, bytes]]) -> Problems:
        """The same with more common headers."""
        return Problems(self._base, (*self.common, *lines), self._challenges)

    def of(self, error: OperationError) -> tuple[int, Headers, bytes]:
        """Status, headers and body for a typed error."""
        status = status_of(error)
        headers: Headers = []
        if status == 401:
            headers += [(b"www-authenticate", each) for each in self._challenges]
        retry = getattr(error, "retry_after", None)
        if retry is None and status == 503:
            retry = 1
        if retry is not None:
            headers.append((b"retry-after", b"%d" % max(1, round(retry))))
        # What is no JSON is no input that could be invalid.
        shown = Malformed if status == 400 and isinstance(error, Invalid) else type(error)
        return (
            status,
            headers,
            self._body(status, shown.code, shown.title, error.detail, error.fields()),
        )

    def document(self, error: OperationError) -> dict[str, Any]:
        """The document for a typed error as plain data, to stand inside of another."""
        document: dict[str, Any] = from_json(self.of(error)[2])
        return document

    def plain(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        extra: Sequence[tuple[bytes, bytes]] = (),
        fields: Mapping[str, Any] = MappingProxyType({}),
    ) -> tuple[int, Headers, bytes]:
        """Status, headers and body for what is decided before any operation is found."""
        return status, list(extra), self._body(status, code, title, detail, fields)

    def _body(
        self, status: int, code: str, title: str, detail: str, fields: Mapping[str, Any]
    ) -> bytes:
        document = {"type": self._base + code, "title": title, "status": status, "code": code}
        if detail:
            document["detail"] = detail
        for name, value in fields.items():
            document.setdefault(name, value)
        return to_json(document, fallback=str, inf_nan_mode="null")
