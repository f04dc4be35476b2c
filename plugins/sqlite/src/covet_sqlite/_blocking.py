"""The database for tools that block."""

from __future__ import annotations

from pathlib import Path

import apsw

from covet_kernel import ConfigurationError
from covet_sql.driver import BlockingDatabase
from covet_sqlite import _dbapi
from covet_sqlite._config import MEMORY, SqliteConfig
from covet_sqlite._errors import check_place, sql_error, start_error


def blocking_database(config: SqliteConfig, directory: Path, place: str) -> BlockingDatabase:
    """How tools connect.

    Raises:
        ConfigurationError: The database is in memory, where only its own connection finds it.
    """
    if config.path == MEMORY:
        raise ConfigurationError(
            "COVET-SQLITE-MEMORY",
            "a database in memory is one connection's own: there is nothing that tools could reach.",
            place=place,
            fix="Name a file; in tests one in a temporary folder.",
        )
    path = directory / config.path

    def connect() -> _dbapi.Connection:
        check_place(path, place)
        try:
            connection = _dbapi.Connection(str(path), config.busy_timeout)
            connection.raw.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        except apsw.Error as error:
            refusal = sql_error(error)
            refusal.__cause__ = error
            raise start_error(refusal, path, place) from error
        return connection

    def at(other: Path) -> BlockingDatabase:
        return blocking_database(config.model_copy(update={"path": str(other)}), directory, place)

    return BlockingDatabase(dialect="sqlite", name=str(path), dbapi=_dbapi, connect=connect, at=at)
