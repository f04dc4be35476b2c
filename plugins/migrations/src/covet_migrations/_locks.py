"""One process migrates, the others wait and find nothing left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from covet_kernel import LifecycleError

KEY = int.from_bytes(b"covet")
"""Of PostgreSQL's advisory lock, which is a database's own."""
NAME = "covet migrations"
PAUSE = 0.1

OWN = (
    f"CASE WHEN coalesce(current_schema(), 'public') = 'public' THEN {KEY}"
    f" ELSE {KEY} # hashtextextended(current_schema(), 0) END"
)
"""A schema that is migrated by itself, a tenant's, has a lock by itself."""

TAKE = {
    "postgresql": f"SELECT pg_try_advisory_lock({OWN})",
    "mysql": f"SELECT GET_LOCK(CONCAT(DATABASE(), ' {NAME}'), 0)",
}
RELEASE = {
    "postgresql": f"SELECT pg_advisory_unlock({OWN})",
    "mysql": f"SELECT RELEASE_LOCK(CONCAT(DATABASE(), ' {NAME}'))",
}
# SQLite needs none: a step's transaction begins as a writer and reads the revision first.


@contextmanager
def locked(
    connection: sa.Connection, wait: float, report: Callable[[str], None], check: Callable[[], None]
) -> Iterator[None]:
    """Hold the lock of a database's migrations; it ends with the connection at the latest.

    It is asked for again and again, and not waited for: a connection that waits inside a statement
    holds a snapshot, for which ``CREATE INDEX CONCURRENTLY`` of whoever has the lock would wait.

    Raises:
        LifecycleError: Somebody else has it for longer than ``wait`` seconds.
    """
    dialect = connection.dialect.name
    if dialect not in TAKE:
        yield
        return
    until, told = time.monotonic() + wait, False
    while not _asked(connection, TAKE[dialect]):
        if not told:
            report("another process migrates: waiting for it")
            told = True
        if time.monotonic() > until:
            raise in_use(f"another process has migrated for more than {wait:g} s")
        check()
        time.sleep(PAUSE)
    try:
        yield
    finally:
        with suppress(sa.exc.SQLAlchemyError):  # a connection that is gone has no locks
            connection.rollback()
            _asked(connection, RELEASE[dialect])


def _asked(connection: sa.Connection, statement: str) -> bool:
    taken = bool(connection.exec_driver_sql(statement).scalar())
    connection.commit()
    return taken


def in_use(problem: str) -> LifecycleError:
    """That the database could not be had for oneself."""
    return LifecycleError(
        "COVET-MIGRATION-LOCKED",
        f"{problem}.",
        fix="Wait for it, or end it, and try again; [plugins.migrations] wait says how long to wait.",
    )


def is_busy(error: object) -> bool:
    """Whether SQLite could not have its lock, so that nothing was done."""
    return getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY"


def limit_waiting(connection: sa.Connection, seconds: float) -> None:
    """Have statements give up on a table that is in use: everybody else waits behind them."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET lock_timeout = {int(seconds * 1000)}")
        connection.exec_driver_sql("SET statement_timeout = 0")
    elif connection.dialect.name == "mysql":
        connection.exec_driver_sql(f"SET lock_wait_timeout = {max(1, round(seconds))}")
    connection.commit()
