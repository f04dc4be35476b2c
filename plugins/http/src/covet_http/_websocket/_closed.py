"""How a WebSocket ends: the codes, and what whoever still uses it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from covet_operations import ErrorKind, OperationError

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
TRY_AGAIN_LATER: Final = 1013

LONGEST_REASON: Final = 123
"""Bytes of UTF-8: a control frame has 125, and the code takes two of them (RFC 6455, 5.5)."""

_SENT_BY_PROTOCOL: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_OF_ERRORS: Final[Mapping[ErrorKind, int]] = {
    ErrorKind.TOO_LARGE: TOO_BIG,
    ErrorKind.UNSUPPORTED: UNSUPPORTED_DATA,
    ErrorKind.RATE_LIMITED: TRY_AGAIN_LATER,
    ErrorKind.UNAVAILABLE: TRY_AGAIN_LATER,
    ErrorKind.CANCELLED: INTERNAL_ERROR,
    ErrorKind.DEADLINE_EXCEEDED: INTERNAL_ERROR,
    ErrorKind.INTERNAL: INTERNAL_ERROR,
    ErrorKind.UNIMPLEMENTED: INTERNAL_ERROR,
}


class WebSocketClosed(OperationError):
    """The WebSocket is closed.

    Attributes:
        close_code: Of the side that closed first (RFC 6455, 7.4): 1000 is a normal end, 1005 one
            without a code, 1006 a connection that broke.
        reason: What that side said, often nothing. It is the peer's text: show it escaped, if at all.
    """

    kind = ErrorKind.CANCELLED

    close_code: int = ABNORMAL
    reason: str = ""


def may_be_sent(code: int) -> bool:
    """Whether a side may close with this code (RFC 6455, 7.4.2, and IANA's registry)."""
    return code in _SENT_BY_PROTOCOL or 3000 <= code <= 4999


def code_of(error: OperationError) -> int:
    """The code that an operation's error closes with."""
    return _OF_ERRORS.get(error.kind, POLICY_VIOLATION)


def checked_close(code: int, reason: str) -> str:
    """The reason, if it can be sent with this code.

    Raises:
        ValueError: One of them cannot.
    """
    if not may_be_sent(code):
        raise ValueError(f"nobody closes with {code}: take 1000 to 1014 or 3000 to 4999")
    if len(reason.encode()) > LONGEST_REASON:
        raise ValueError(f"a reason has at most {LONGEST_REASON} bytes")
    return reason
