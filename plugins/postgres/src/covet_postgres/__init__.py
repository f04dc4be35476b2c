"""PostgreSQL for covet: the `SqlDatabase` contract on asyncio and trio, at the speed of C."""

from covet_postgres._config import PostgresConfig
from covet_postgres._plugin import Postgres

__all__ = ["Postgres", "PostgresConfig"]
