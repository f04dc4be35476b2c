"""From the one registry of errors to a status: code, message and details."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from covet_grpc._metadata import Lines, percent_encoded
from covet_operations import ErrorKind, Invalid, OperationError, RateLimited

CODES: Final = {
    ErrorKind.CANCELLED: 1,
    ErrorKind.INVALID: 3,
    ErrorKind.DEADLINE_EXCEEDED: 4,
    ErrorKind.NOT_FOUND: 5,
    ErrorKind.GONE: 5,
    ErrorKind.FORBIDDEN: 7,
    ErrorKind.TOO_LARGE: 8,
    ErrorKind.RATE_LIMITED: 8,
    ErrorKind.PRECONDITION_FAILED: 9,
    ErrorKind.CONFLICT: 10,
    ErrorKind.UNSUPPORTED: 12,
    ErrorKind.UNIMPLEMENTED: 12,
    ErrorKind.INTERNAL: 13,
    ErrorKind.UNAVAILABLE: 14,
    ErrorKind.UNAUTHENTICATED: 16,
}
"""The status code of each kind of error."""

OK: Final[Lines] = [(b"grpc-status", b"0")]
"""The trailers of every success that has nothing else to say."""

# Details are header fields, and what a caller lets in is limited: others than ours are not known.
_MOST_DETAILS: Final = 4096


def own_status(error: type[Exception]) -> int | None:
    """The code that a class of errors has for itself (``grpc_status``), if any."""
    return getattr(error, "grpc_status", None)


def code_of(error: OperationError) -> int:
    """The status code of an error."""
    own = own_status(type(error))
    return CODES[error.kind] if own is None else own


def status_lines(error: OperationError, domain: str) -> Lines:
    """The trailers of a call that has failed.

    Args:
        error: Why.
        domain: Who says so: the service's name, unless configured.
    """
    code, message = code_of(error), error.detail or error.title
    lines = [(b"grpc-status", b"%d" % code)]
    if message:
        lines.append((b"grpc-message", percent_encoded(message)))
    details = status_details(error, code, message, domain)
    if len(details) <= _MOST_DETAILS:
        lines.append((b"grpc-status-details-bin", b64encode(details).rstrip(b"=")))
    return lines


def status_details(error: OperationError, code: int, message: str, domain: str) -> bytes:
    """A ``google.rpc.Status`` that says what the code cannot: which error, and its fields."""
    from google.rpc import error_details_pb2 as details
    from google.rpc.status_pb2 import Status

    status = Status(code=code, message=message)
    fields = error.fields()
    if isinstance(error, Invalid):
        violations = [
            details.BadRequest.FieldViolation(
                field=".".join(map(str, fault.get("loc", ()))),
                description=str(fault.get("msg", "")),
                reason=_reason(str(fault.get("type", ""))),
            )
            for fault in fields.pop("errors", ())
        ]
        if violations:
            status.details.add().Pack(details.BadRequest(field_violations=violations))
    if isinstance(error, RateLimited):
        seconds = fields.pop("retry_after", None)
        if seconds is not None:
            retry = details.RetryInfo()
            retry.retry_delay.FromMicroseconds(int(seconds * 1_000_000))
            status.details.add().Pack(retry)
    info = details.ErrorInfo(
        reason=_reason(error.code),
        domain=domain,
        metadata={name: _text(value) for name, value in fields.items()},
    )
    # The one that every error has comes first.
    ordered = Status(code=code, message=message)
    ordered.details.add().Pack(info)
    ordered.details.extend(status.details)
    found: bytes = ordered.SerializeToString()
    return found


def _reason(code: str) -> str:
    return code.upper().replace("-", "_")


def _text(value: Any) -> str:
    """A field as the text that ``ErrorInfo`` holds: texts are themselves, all else is JSON."""
    if isinstance(value, str):
        return value
    from pydantic_core import to_json

    return to_json(value, fallback=str).decode()
