"""Reads that have to see what was committed last, whatever a database reads from otherwise."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from covet_kernel.contracts import Isolation, SqlDatabase, SqlSession


def on_primary(
    database: SqlDatabase, *, isolation: Isolation | None = None
) -> AbstractAsyncContextManager[SqlSession]:
    """A transaction for reads that no replica answers, however far behind; SQLite has none."""
    return database.transaction(read_only=database.dialect == "sqlite", isolation=isolation)
