"""SQLite's errors in the words of the contract and of the kernel."""

from __future__ import annotations

from pathlib import Path

import apsw

from covet_kernel import ConfigurationError
from covet_kernel.contracts import (
    SqlConflictError,
    SqlError,
    SqlIntegrityError,
    SqlUnavailableError,
)

CONSTRAINTS = {
    apsw.SQLITE_CONSTRAINT_UNIQUE: "23505",
    apsw.SQLITE_CONSTRAINT_PRIMARYKEY: "23505",
    apsw.SQLITE_CONSTRAINT_ROWID: "23505",
    apsw.SQLITE_CONSTRAINT_NOTNULL: "23502",
    apsw.SQLITE_CONSTRAINT_FOREIGNKEY: "23503",
    apsw.SQLITE_CONSTRAINT_CHECK: "23514",
}
REFUSALS: dict[type[BaseException], tuple[type[SqlError], str]] = {
    apsw.BusyError: (SqlConflictError, "40001"),
    apsw.LockedError: (SqlConflictError, "40001"),
    apsw.SchemaChangeError: (SqlConflictError, "40001"),
    apsw.CantOpenError: (SqlUnavailableError, "08001"),
    apsw.NotADBError: (SqlUnavailableError, "08001"),
    apsw.CorruptError: (SqlUnavailableError, "08001"),
    apsw.IOError: (SqlUnavailableError, "08006"),
    apsw.PermissionsError: (SqlUnavailableError, "08001"),
    apsw.ConnectionClosedError: (SqlUnavailableError, "08003"),
    apsw.SQLError: (SqlError, "42000"),
    apsw.AuthError: (SqlError, "42501"),
    apsw.ReadOnlyError: (SqlError, "25006"),
    apsw.FullError: (SqlError, "53100"),
    apsw.NoMemError: (SqlError, "53200"),
    apsw.TooBigError: (SqlError, "54000"),
    apsw.MismatchError: (SqlError, "22000"),
    apsw.BindingsError: (SqlError, "07001"),
    # What apsw raises while it binds the parameters.
    OverflowError: (SqlError, "22003"),
    UnicodeEncodeError: (SqlError, "22021"),
    TypeError: (SqlError, "07006"),
}
FAILURES = (apsw.Error, KeyError, OverflowError, UnicodeEncodeError, TypeError)
"""Everything a statement can raise that is the database's or the parameters' doing."""


def sql_error(error: BaseException) -> SqlError:
    """The contract's error for one of `FAILURES`; it names no parameter's value."""
    if isinstance(error, apsw.ConstraintError):
        return SqlIntegrityError(
            str(error), sqlstate=CONSTRAINTS.get(getattr(error, "extendedresult", 0), "23000")
        )
    if isinstance(error, KeyError):
        return SqlError(f"no value for the parameter :{error.args[0]}", sqlstate="07001")
    if isinstance(error, UnicodeEncodeError):
        return SqlError("a text has characters that UTF-8 cannot carry", sqlstate="22021")
    for kind, (refusal, sqlstate) in REFUSALS.items():
        if isinstance(error, kind):
            return refusal(str(error), sqlstate=sqlstate)
    return SqlError(str(error))


def start_error(error: SqlError, path: Path, place: str) -> ConfigurationError:
    """Why the database cannot be used, for whoever configured it."""
    cause = error.__cause__
    if isinstance(error, SqlConflictError):
        return ConfigurationError(
            "COVET-SQLITE-LOCKED",
            f"another process keeps the database {str(path)!r} locked.",
            place=place,
            fix="End the other process, or raise busy_timeout.",
        )
    if isinstance(cause, (apsw.NotADBError, apsw.CorruptError)):
        return ConfigurationError(
            "COVET-SQLITE-FORMAT",
            f"{str(path)!r} is not a SQLite database, or is damaged: {error}.",
            place=place,
            fix="Name another file, or restore this one from a backup.",
        )
    return ConfigurationError(
        "COVET-SQLITE-OPEN",
        f"the database {str(path)!r} cannot be opened for writing: {error}.",
        place=place,
        fix="Let the process read and write the file and its folder (SQLite keeps '-wal' and '-shm' beside it).",
    )


def check_place(path: Path, place: str) -> None:
    """Refuse what SQLite would only call 'unable to open'."""
    if path.is_dir():
        raise ConfigurationError(
            "COVET-SQLITE-OPEN",
            f"{str(path)!r} is a folder, not a database.",
            place=place,
            fix="Name a file.",
        )
    if not path.parent.is_dir():
        raise ConfigurationError(
            "COVET-SQLITE-FOLDER",
            f"there is no folder {str(path.parent)!r} to keep the database in.",
            place=place,
            fix="Create the folder, or correct the path; relative ones start at covet.toml's folder.",
        )
