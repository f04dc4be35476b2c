"""An empty database of each kind, and the plugin that reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from services import mariadb, postgres

from covet_kernel import Plugin
from covet_mysql import Mysql
from covet_postgres import Postgres
from covet_sqlite import Sqlite

PLUGINS: dict[str, type[Plugin[Any]]] = {"sqlite": Sqlite, "postgres": Postgres, "mysql": Mysql}
"""By the plugin's id."""
KINDS = ["sqlite", *(pytest.param(name, marks=pytest.mark.once) for name in ("postgres", "mysql"))]
"""Parameters of a test or fixture: one kind on every interpreter, the servers on one of them."""


@contextmanager
def table_of(kind: str) -> Iterator[dict[str, Any]]:
    """The configuration of that plugin; SQLite's file is in the folder of the kernel."""
    if kind == "sqlite":
        yield {"path": "test.db"}
        return
    with (postgres if kind == "postgres" else mariadb).database() as url:
        yield {"url": url}
