"""How every connection is opened, and what its rows are called."""

from __future__ import annotations

import apsw

from covet_kernel.contracts import SqlError


def open_raw(path: str) -> apsw.Connection:
    """Open a file without trusting what is in it.

    Raises:
        apsw.Error: It cannot be opened.
    """
    raw = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    # A schema from elsewhere must not run code, and a statement must not rewrite the schema's
    # own tables; a typo in "quotes" is an error, not a string.
    for option, value in (
        (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
        (apsw.SQLITE_DBCONFIG_DQS_DML, 0),
        (apsw.SQLITE_DBCONFIG_DQS_DDL, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 1),
    ):
        raw.config(option, value)
    return raw


def only_reads(raw: apsw.Connection) -> None:
    """Refuse every change from now on."""
    raw.execute("PRAGMA query_only=1").fetchall()


def read_schema(raw: apsw.Connection) -> None:
    """Read the whole schema, and with it the file for the first time."""
    raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()


def names_of(cursor: apsw.Cursor) -> tuple[str, ...]:
    """The columns of what is read; none of what is changed.

    Raises:
        SqlError: Two of them have one name.
    """
    try:
        names = tuple(column[0] for column in cursor.get_description())
    except apsw.ExecutionCompleteError:
        return ()
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        cursor.close(True)
        raise SqlError(f"the rows have {twice!r} twice: rename one with AS", sqlstate="42701")
    return names
