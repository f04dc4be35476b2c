"""PostgreSQL's errors in the words of the contract and of the kernel."""

from __future__ import annotations

from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlError, SqlUnavailableError
from covet_sql.driver import ConnectError, error_of

MISSING_TYPE = "42P18"


class LostError(SqlUnavailableError):
    """The connection ended before the reply was there."""


class StaleError(SqlError):
    """The prepared statement is gone, or the tables are no longer those it was prepared for."""


def failure(result: PGresult) -> SqlError:
    """The contract's error for a result that reports one; it names no value of the caller's."""
    field = result.error_field
    state = (field(DiagnosticField.SQLSTATE) or b"HY000").decode()
    message = (field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode("utf-8", "replace")
    if state[:2] == "22":
        # What comes behind the colon is the value.
        message = message.partition(': "')[0]
    if state == MISSING_TYPE:
        message += "; write CAST(? AS its type)"
    if (
        state == "26000"
        or (state == "0A000" and field(DiagnosticField.SOURCE_FUNCTION) == b"RevalidateCachedQuery")
        or (state == "XX000" and message.startswith("cache lookup failed for type"))
    ):
        return StaleError(message, sqlstate=state)
    return error_of(state, message or "the server reported an error without a message")


def start_error(error: ConnectError, place: str) -> ConfigurationError:
    """Why the database cannot be used, for whoever configured it."""
    where, reason = error.where, error.reason
    if error.kind == "unreachable":
        return ConfigurationError(
            "COVET-POSTGRES-UNREACHABLE",
            f"no PostgreSQL answers at {where}: {reason}.",
            place=place,
            fix="Start the server, or correct host and port in the URL.",
        )
    if error.kind == "password":
        return ConfigurationError(
            "COVET-POSTGRES-PASSWORD",
            f"the server at {where} does not let this user in: {reason}.",
            place=place,
            fix="Correct user and password; keep the password in COVET_PLUGINS__POSTGRES__PASSWORD.",
        )
    if error.kind == "database":
        return ConfigurationError(
            "COVET-POSTGRES-DATABASE",
            f"the server at {where} has no such database: {reason}.",
            place=place,
            fix="Create it (createdb NAME), or correct its name in the URL.",
        )
    if error.kind == "version":
        return ConfigurationError(
            "COVET-POSTGRES-VERSION",
            f"the server at {where} is too old: {reason}.",
            place=place,
            fix="Upgrade the server.",
        )
    if error.kind == "tls":
        return ConfigurationError(
            "COVET-POSTGRES-TLS",
            f"there is no trusted connection to {where}: {reason}.",
            place=place,
            fix="Name the host as its certificate does, and the authority in sslrootcert.",
        )
    return ConfigurationError(
        "COVET-POSTGRES-REFUSED",
        f"the server at {where} refused the connection: {reason}.",
        place=place,
        fix="See the server's log for more than it tells its clients.",
    )
