"""PostgreSQL for covet: the `SqlDatabase` contract on asyncio and trio, at the speed of C."""

from covet_postgres._config import PostgresConfig
from covet_postgres._copy import copy_in, copy_out, copy_rows
from covet_postgres._listen import Gap, Notification, listen, notify
from covet_postgres._plugin import Postgres

__all__ = [
    "Gap",
    "Notification",
    "Postgres",
    "PostgresConfig",
    "copy_in",
    "copy_out",
    "copy_rows",
    "listen",
    "notify",
]
