"""The server's errors in the words of the contract and of the kernel."""

from __future__ import annotations

import re

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_mysql._protocol._answers import Failure
from covet_sql.driver import ConnectError, ConnectProblem, error_of

STATES = {
    1020: "40001",  # the record has changed since it was read
    1205: "40001",  # a lock was not to be had in time
    3572: "40001",  # nor at once
    1614: "40001",  # a deadlock within a distributed transaction
    1040: "08004",  # too many connections
    1203: "08004",  # of this user
    1226: "08004",  # of this user, or too much of something else
    1053: "08006",  # the server is being stopped
    1927: "08006",  # the connection was killed
    3169: "08006",
    4031: "08006",  # it was idle for too long
    1152: "08006",
    1184: "08006",
    1021: "53100",  # its disk is full
    1114: "53100",  # or a table cannot grow any more
    1037: "53200",  # out of memory
    1038: "53200",
    1041: "53200",
    1290: "25006",  # the server is read-only
    1836: "25006",
    1792: "25006",
    1364: "23502",  # a column without a default was left out
    3819: "23513",  # a CHECK of MySQL's
    1969: "57014",  # it ran too long
    3024: "57014",
    1317: "57014",  # it was killed
    1295: "0A000",  # nothing that can be prepared
}
"""What the contract calls errors that the server gives a state of no use, by their numbers."""
ENDED = frozenset((1213, 1614, 1020))
"""Errors with which the server ends the whole transaction."""

VALUES = (
    (re.compile(r"(Duplicate entry) '.*' (for key)", re.DOTALL), r"\1 \2"),
    (re.compile(r"((?:Incorrect|Truncated incorrect|Invalid) [\w ()]+ value): .*", re.DOTALL), r"\1"),
    (re.compile(r"(value is out of range in) .*", re.DOTALL), r"\1 an expression"),
    (re.compile(r"(Data too long|Data truncated|Out of range value) (for column) .*? (at row)"), r"\1 \2 \3"),
)  # fmt: skip
"""What an error quotes of the caller's values, and what stays of it."""


class LostError(SqlUnavailableError):
    """The connection ended before the answer was there."""


def error(failure: Failure) -> SqlError:
    """The contract's error for one of the server's; it names no value of the caller's."""
    message = failure.message
    for pattern, kept in VALUES[:3]:
        message = pattern.sub(kept, message)
    state = STATES.get(failure.code, failure.sqlstate)
    return error_of(state, message or f"the server reported error {failure.code}")


def refusal(failure: Failure, where: str) -> ConnectError:
    """Why the server did not let the client in."""
    kind: ConnectProblem = "refused"
    if failure.code in (1045, 1698, 1251, 4151, 1862):
        kind = "password"
    elif failure.code in (1044, 1049):
        kind = "database"
    state = STATES.get(failure.code, "08001")
    return ConnectError(kind, where, failure.message.rstrip("."), sqlstate=state)


def start_error(error: ConnectError, place: str) -> ConfigurationError:
    """Why the database cannot be used, for whoever configured it."""
    where, reason = error.where, error.reason
    if error.kind == "unreachable":
        return ConfigurationError(
            "COVET-MYSQL-UNREACHABLE",
            f"no MariaDB or MySQL answers at {where}: {reason}.",
            place=place,
            fix="Start the server, or correct host and port in the URL.",
        )
    if error.kind == "password":
        return ConfigurationError(
            "COVET-MYSQL-PASSWORD",
            f"the server at {where} does not let this user in: {reason}.",
            place=place,
            fix="Correct user and password; keep the password in COVET_PLUGINS__MYSQL__PASSWORD.",
        )
    if error.kind == "database":
        return ConfigurationError(
            "COVET-MYSQL-DATABASE",
            f"the server at {where} has no such database for this user: {reason}.",
            place=place,
            fix="Create it and grant it to the user, or correct its name in the URL.",
        )
    if error.kind == "tls":
        return ConfigurationError(
            "COVET-MYSQL-TLS",
            f"there is no safe connection to {where}: {reason}.",
            place=place,
            fix="Name in tls_ca who has signed the server's certificate, and in the URL the host that"
            " it was made for.",
        )
    if error.kind == "version":
        return ConfigurationError(
            "COVET-MYSQL-VERSION",
            f"the server at {where} is too old: {reason}.",
            place=place,
            fix="Upgrade the server.",
        )
    return ConfigurationError(
        "COVET-MYSQL-REFUSED",
        f"the server at {where} refused the connection: {reason}.",
        place=place,
        fix="See the server's log for more than it tells its clients.",
    )
