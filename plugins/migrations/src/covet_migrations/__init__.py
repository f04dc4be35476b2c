"""Migrations: a database's tables from one version of a service to the next, by Alembic.

Importing it loads no Alembic, which a start that has nothing to migrate does without. What `Migrator`
does blocks: a service has it done in a worker thread, and ``covet db`` has no event loop to stop.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from covet_migrations._config import MigrationsConfig
from covet_migrations._plugin import MigrationsPlugin
from covet_migrations._schema import SCHEMA, Schema
from covet_migrations._sources import Migrations

if _TYPE_CHECKING:
    from covet_migrations._migrator import Migrator
    from covet_migrations._safety import Finding, lint

__all__ = [
    "SCHEMA",
    "Finding",
    "Migrations",
    "MigrationsConfig",
    "MigrationsPlugin",
    "Migrator",
    "Schema",
    "lint",
]

_LATER = {
    "Finding": "covet_migrations._safety",
    "Migrator": "covet_migrations._migrator",
    "lint": "covet_migrations._safety",
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(_LATER[name]), name)
