"""What can be wrong with a frame, and how a WebSocket is closed for it."""

from __future__ import annotations

from typing import ClassVar, Final

from covet_http import Malformed
from covet_operations import (
    Conflict,
    DeadlineExceeded,
    Invalid,
    OperationError,
    RateLimited,
    Unimplemented,
    Unsupported,
)

UNSUPPORTED_DATA: Final = 1003
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008


class BadFrame(Malformed):
    """The frame is none of this protocol."""


class WrongEncoding(Unsupported):
    """The frame is text where the subprotocol has binary ones, or the other way round."""


class NotAcknowledged(DeadlineExceeded):
    """A message was not acknowledged in time."""


class UnknownMethod(Unimplemented):
    """There is no such method."""

    http_status: ClassVar[int] = 404


class DuplicateId(Conflict):
    """A call of this id is under way.

    Attributes:
        call: The id.
    """

    call: int | str


class TooManyCalls(RateLimited):
    """The connection has as many calls under way as it may."""


def close_code(error: OperationError) -> int:
    """What a WebSocket is closed with for a frame that is refused."""
    if isinstance(error, WrongEncoding):
        return UNSUPPORTED_DATA
    if isinstance(error, Invalid):
        return POLICY_VIOLATION
    return INVALID_DATA
