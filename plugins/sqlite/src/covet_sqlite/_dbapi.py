"""SQLite as SQLAlchemy's tools expect a database (PEP 249), by the library the service itself uses.

Python's `sqlite3` brings another SQLite along, and two of them must not have a file open in one
process: whichever closes it drops the locks of both. What is not used by anybody is not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import apsw

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"
sqlite_version_info = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
OUTSIDE = re.compile(
    r"\s*(?:PRAGMA read_uncommitted|BEGIN|COMMIT|END|ROLLBACK|VACUUM|ATTACH|DETACH)\b",
    re.IGNORECASE,
)
"""What needs no transaction, or must not be in one. SQLAlchemy reads the first as it connects."""


class Error(Exception):
    """The database refused.

    Attributes:
        sqlite_errorname: SQLite's own word for it, as in Python's `sqlite3`.
    """

    sqlite_errorname = "SQLITE_ERROR"


class InterfaceError(Error):
    """A value is none that SQLite keeps."""


class DatabaseError(Error):
    """Base of the errors below."""


class OperationalError(DatabaseError):
    """The statement cannot be run, or not now."""


class IntegrityError(DatabaseError):
    """A constraint was violated."""


class ProgrammingError(DatabaseError):
    """Parameters are missing, or too many."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises apsw's errors as PEP 249 has them."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise IntegrityError(str(error)) from error
    except apsw.BindingsError as error:
        raise ProgrammingError(str(error)) from error
    except (TypeError, OverflowError) as error:
        raise InterfaceError(str(error)) from error
    except apsw.Error as error:
        known = OperationalError(str(error))
        if isinstance(error, (apsw.BusyError, apsw.LockedError)):
            known.sqlite_errorname = "SQLITE_BUSY"
        raise known from error


class Connection:
    """A connection whose transactions begin by themselves, and as writers.

    Whoever reads something in order to change it would otherwise be refused when somebody else was
    faster.

    Attributes:
        isolation_level: ``None`` while every statement commits by itself.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.isolation_level: str | None = ""
        self.raw = apsw.Connection(path)
        self.raw.set_busy_timeout(int(timeout * 1000))
        # As the service has them, with one exception: a table that is made anew must not take the
        # rows of others with it, so keys are checked at the end and not on the way.
        for option, value in (
            (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
            (apsw.SQLITE_DBCONFIG_DQS_DML, 0),
            (apsw.SQLITE_DBCONFIG_DQS_DDL, 0),
            (apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0),
        ):
            self.raw.config(option, value)
        self.names: list[str] = []
        self.raw.exec_trace = self._begins

    def _begins(self, cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        # A statement that gives no rows is over before anybody could ask what their names were.
        self.names = [column[0] for column in cursor.get_description()]
        return True

    def cursor(self) -> Cursor:
        return Cursor(self)

    def begin(self, sql: str) -> None:
        """Begin a transaction if the statement needs one and there is none."""
        if (
            self.isolation_level is not None
            and not self.raw.in_transaction
            and not OUTSIDE.match(sql)
        ):
            self.raw.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def _end(self, how: str) -> None:
        with translated():
            if self.raw.in_transaction:
                self.raw.execute(how)

    def close(self) -> None:
        self.raw.close(True)

    def create_function(
        self, name: str, count: int, function: Callable[..., Any], *, deterministic: bool = False
    ) -> None:
        self.raw.create_scalar_function(name, function, count, deterministic=deterministic)


class Cursor:
    """One statement and its rows, which are read as they are asked for."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: Iterator[Any] = iter(())
        self.description: Sequence[Sequence[Any]] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        raw = self._connection.raw
        with translated():
            self._connection.begin(sql)
            before = raw.total_changes()
            cursor = raw.execute(sql, cast("Any", parameters) or None)
            names = self._connection.names
            self.description = [(name, *[None] * 6) for name in names] or None
            self._rows = iter(cursor)
            changed = raw.total_changes() != before
            self.rowcount = -1 if names else raw.changes() * changed
            self.lastrowid = raw.last_insert_rowid()
        return self

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        changed = 0
        for row in rows:
            changed += max(self.execute(sql, row).rowcount, 0)
        self.rowcount = changed
        return self

    def fetchone(self) -> Any:
        with translated():
            return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        with translated():
            wanted = range(self.arraysize if size is None else size)
            return [row for _, row in zip(wanted, self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        with translated():
            return list(self._rows)

    def close(self) -> None:
        self._rows = iter(())

    def setinputsizes(self, sizes: Any) -> None:
        """There are none to set."""

    def setoutputsize(self, size: Any, column: Any = None) -> None:
        """There are none to set."""
