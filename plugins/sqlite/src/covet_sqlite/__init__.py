"""SQLite for covet: the embedded default of the `SqlDatabase` contract."""

from typing import TYPE_CHECKING, Any

from covet_sqlite._config import SqliteConfig
from covet_sqlite._plugin import Sqlite

if TYPE_CHECKING:
    from covet_sqlite._backup import backup

__all__ = ["Sqlite", "SqliteConfig", "backup"]


def __getattr__(name: str) -> Any:
    # SQLite itself is loaded by who opens a database, not by who checks a configuration.
    if name == "backup":
        from covet_sqlite._backup import backup

        return backup
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
