"""SQLite for covet: the embedded default of the `SqlDatabase` contract."""

from covet_sqlite._config import SqliteConfig
from covet_sqlite._plugin import Sqlite

__all__ = ["Sqlite", "SqliteConfig"]
