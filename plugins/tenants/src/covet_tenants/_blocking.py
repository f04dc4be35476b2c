"""The tenants for tools that block, as migrations do."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any

from covet_sql.driver import BlockingDatabase
from covet_tenants._config import TenantsConfig
from covet_tenants._names import quoted
from covet_tenants._tenants import names_of


def names(config: TenantsConfig, base: BlockingDatabase) -> list[str]:
    """All tenants, by name.

    Raises:
        ConfigurationError: The database cannot be reached.
    """
    if not config.query:
        return sorted(config.tenants)
    with closing(base.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(config.query)
        return names_of([row[0] for row in cursor.fetchall()])


def schema_database(config: TenantsConfig, base: BlockingDatabase, tenant: str) -> BlockingDatabase:
    """How to connect to a tenant's schema, which is made if it is not there."""
    schema = config.schema_of(tenant)
    enter = _postgresql if base.dialect == "postgresql" else _mysql
    return base.replaced(name=f"{schema} of {base.name}", connect=partial(enter, base, schema))


def _postgresql(base: BlockingDatabase, schema: str) -> Any:
    connection = base.connect()
    connection.autocommit = True
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    # Not the shared ones: their version table would be taken for the tenant's.
    connection.execute("SELECT set_config('search_path', %s, false)", (quoted(schema),))
    connection.autocommit = False
    return connection


def _mysql(base: BlockingDatabase, schema: str) -> Any:
    connection = base.connect()
    with closing(connection.cursor()) as cursor:
        name = "`" + schema.replace("`", "``") + "`"
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {name}")
    connection.select_db(schema)
    return connection
