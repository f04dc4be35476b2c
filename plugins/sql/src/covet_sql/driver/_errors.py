"""What a database's sqlstate means in the words of the contract."""

from __future__ import annotations

from typing import Literal, TypeAlias

from covet_kernel.contracts import (
    SqlConflictError,
    SqlError,
    SqlIntegrityError,
    SqlUnavailableError,
)

CLASSES: dict[str, type[SqlError]] = {
    "08": SqlUnavailableError,
    "23": SqlIntegrityError,
    "40": SqlConflictError,
}
"""By the first two characters, the class of ISO 9075."""
STATES: dict[str, type[SqlError]] = {
    "53300": SqlUnavailableError,  # too many connections
    "55P03": SqlConflictError,  # a lock was not to be had
    "57P01": SqlUnavailableError,  # the server is being stopped, or the connection was ended
    "57P02": SqlUnavailableError,  # it crashed
    "57P03": SqlUnavailableError,  # it is starting
    "57P04": SqlUnavailableError,  # the database was dropped
    "57P05": SqlUnavailableError,  # the connection was idle for too long
}

ConnectProblem: TypeAlias = Literal[
    "unreachable", "password", "database", "tls", "version", "refused"
]
"""What may keep a connection from being opened."""


class ConnectError(SqlUnavailableError):
    """No connection could be opened.

    Attributes:
        kind: What it was.
        where: Host and port.
        reason: The words of the server or of the system.
    """

    def __init__(
        self, kind: ConnectProblem, where: str, reason: str, *, sqlstate: str = "08001"
    ) -> None:
        super().__init__(f"cannot connect to {where}: {reason}", sqlstate=sqlstate)
        self.kind = kind
        self.where = where
        self.reason = reason


def error_of(sqlstate: str, message: str) -> SqlError:
    """The contract's error for what a server has reported.

    Args:
        sqlstate: Five characters.
        message: The server's words, without values of the caller's.
    """
    kind = STATES.get(sqlstate) or CLASSES.get(sqlstate[:2], SqlError)
    return kind(message, sqlstate=sqlstate)
