"""Servers of databases that keep what they acknowledge, and may be stopped, killed and filled up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from services import mariadb, postgres
from services.full_disk import FullDisk, full_disk
from services.process import ServerProcess

from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql
from covet_postgres import Postgres

DATABASE = "shop"


class Durable:
    """A server, its disk, and the one database in it.

    Attributes:
        plugin: The plugin that such databases are reached with.
        server: It.
        disk: What its files are on.
    """

    plugin: type[Postgres | Mysql]

    def __init__(self, server: ServerProcess, disk: FullDisk) -> None:
        self.server = server
        self.disk = disk

    def run(self, *statements: str) -> None:
        """Run statements of an administrator's in the database."""
        raise NotImplementedError

    def url(self, port: int) -> str:
        """Of the database, at the server's port or at one that leads there."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self, port: int | None = None, **config: Any) -> AsyncIterator[SqlDatabase]:
        """The database through its plugin."""
        given = {
            "url": self.url(port or self.server.port),
            "cleanup_timeout": 1.0,
            "statement_timeout": 5.0,
            **config,
        }
        async with run_kernel({"database": self.plugin}, {"database": given}) as kernel:
            yield kernel.require(SQL)


class DurablePostgres(Durable):
    plugin = Postgres

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url(self.server.port), autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement)

    def url(self, port: int) -> str:
        return f"postgres://postgres@127.0.0.1:{port}/postgres"


class DurableMariaDb(Durable):
    plugin = Mysql

    def run(self, *statements: str) -> None:
        mariadb.run(f"mysql://root@127.0.0.1:{self.server.port}/{DATABASE}", *statements)

    def url(self, port: int) -> str:
        return f"mysql://shop@127.0.0.1:{port}/{DATABASE}"


def _postgres(disk: FullDisk) -> Durable:
    postgres.skip_without_postgres()
    server = postgres.PostgresServer([("synchronous_commit", "on")])
    server.environment = disk.environment
    server.start()
    return DurablePostgres(server, disk)


def _mariadb(disk: FullDisk) -> Durable:
    mariadb.skip_without_mariadb()
    server = mariadb.MariaDbServer(
        [("innodb-flush-log-at-trx-commit", "2"), ("innodb-use-native-aio", "OFF")]
    )
    server.environment = disk.environment
    server.start()
    mariadb.run(
        server.url,
        f"CREATE DATABASE {DATABASE}",
        "CREATE USER shop",
        f"GRANT ALL ON {DATABASE}.* TO shop",
    )
    return DurableMariaDb(server, disk)


MADE: dict[str, Callable[[FullDisk], Durable]] = {"postgresql": _postgres, "mariadb": _mariadb}


@contextmanager
def durable(name: str) -> Iterator[Durable]:
    """A server by the name of its kind, for the block."""
    with full_disk() as disk:
        one = MADE[name](disk)
        try:
            yield one
        finally:
            one.server.close()
