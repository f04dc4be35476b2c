"""Two tenants, ``acme`` and ``zeta``, on each kind of database, open for a block inside the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from services import mariadb, pgbouncer, postgres
from services.databases import PLUGINS

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_operations import Operations
from covet_tenants import TENANTS, Tenants, TenantsPlugin

NAMES = ("acme", "zeta")
TABLES = ("CREATE TABLE {}whose (name VARCHAR(20))", "CREATE TABLE {}t (id INTEGER PRIMARY KEY)")


class House:
    """Where the tenants are.

    Attributes:
        tables: Of the configuration, by instance name.
        folder: Where it is.
    """

    def __init__(self, kind: str, folder: Path, **config: Any) -> None:
        self.kind = kind
        self.folder = folder
        self._config = config

    def tables(self, **tenants: Any) -> dict[str, Any]:
        own = {"tenants": NAMES, **tenants}
        if "query" in tenants:
            del own["tenants"]
        return {self.kind: self._config, "tenants": own}

    @property
    def classes(self) -> dict[str, Any]:
        return {self.kind: PLUGINS[self.kind], "tenants": TenantsPlugin, "operations": Operations}

    @asynccontextmanager
    async def __call__(self, **tenants: Any) -> AsyncIterator[Tenants]:
        """The tenants; each has a table ``whose`` that says whose it is, and a table ``t``."""
        tables = self.tables(**tenants)
        async with run_kernel(self.classes, tables, directory=self.folder) as kernel:
            found = kernel.require(TENANTS)
            base = kernel.require(SQL)
            for name in found.all():
                schema = f"tenant_{name}"
                if self.kind == "mysql":
                    # There a change of tables ends the transaction that a tenant's statement is in.
                    await base.execute(f"CREATE DATABASE {schema}")
                    for table in TABLES:
                        await base.execute(table.format(f"{schema}."))
                else:
                    if self.kind == "postgres":
                        await base.execute(f"CREATE SCHEMA {schema}")
                    for table in TABLES:
                        await found.of(name).execute(table.format(""))
                await found.of(name).execute("INSERT INTO whose VALUES (?)", (name,))
            yield found


def _house(kind: str, folder: Path) -> Iterator[House]:
    # One connection: whoever comes next has it, and whatever the one before has left in it.
    if kind == "sqlite":
        yield House(kind, folder, path="base.db")
    elif kind == "postgres":
        with postgres.database() as url, postgres_schemas(url):
            yield House(kind, folder, url=url, pool_size=1, lane_size=0)
    elif kind == "pgbouncer":
        with pgbouncer.database() as url:
            drop(url)
            yield House("postgres", folder, url=url, pool_size=1, pgbouncer=True)
            drop(url)
    else:
        with mariadb.database() as url:
            for name in NAMES:
                mariadb.run(mariadb.server_url(), f"DROP DATABASE IF EXISTS tenant_{name}")
            yield House("mysql", folder, url=url, pool_size=1)
            for name in NAMES:
                mariadb.run(mariadb.server_url(), f"DROP DATABASE IF EXISTS tenant_{name}")


def drop(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        for name in NAMES:
            admin.execute(f"DROP SCHEMA IF EXISTS tenant_{name} CASCADE".encode())


class postgres_schemas:  # noqa: N801
    """Removes the tenants' schemas before a block and behind it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        drop(self._url)

    def __exit__(self, *_: object) -> None:
        drop(self._url)


@pytest.fixture(
    params=[
        "sqlite",
        "postgres",
        *(pytest.param(name, marks=pytest.mark.once) for name in ("pgbouncer", "mysql")),
    ]
)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """On every kind."""
    yield from _house(request.param, tmp_path)


@pytest.fixture
def house_of(tmp_path: Path) -> Iterator[Callable[[str], House]]:
    """On a kind that is named."""
    made: list[Iterator[House]] = []

    def make(kind: str) -> House:
        made.append(found := _house(kind, tmp_path))
        return next(found)

    yield make
    for each in made:
        next(each, None)
