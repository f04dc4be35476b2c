"""The plugin: its life, and what it lets others see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from covet_kernel import Context, Plugin
from covet_kernel.contracts import SQL, HealthCheck, Metric, StoreScheme
from covet_mysql._config import MysqlConfig

if TYPE_CHECKING:
    from covet_mysql._database import MysqlDatabase
    from covet_sql.driver import BlockingDatabase
    from covet_sql.profile import ObservedDatabase


class Mysql(Plugin[MysqlConfig]):
    """Provides a database of a MariaDB or MySQL server as `SqlDatabase`."""

    provides = (SQL,)

    def __init__(self, config: MysqlConfig) -> None:
        super().__init__(config)
        self._name = "mysql"
        self._database: MysqlDatabase | None = None
        self._observed: ObservedDatabase

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Connect before anybody needs the database, close after everybody has stopped."""
        self._name = ctx.name
        async with opened(self.config, f"[plugins.{ctx.name}] url") as database:
            from covet_sql.profile import observe

            self._database = database
            self._observed = observe(ctx.name, database, [database.pool])
            ctx.provide(SQL, self._observed)
            yield

    def blocking_database(self, directory: Path, place: str) -> BlockingDatabase:
        """How tools that block, as migrations do, reach the database."""
        from covet_mysql._blocking import blocking_database

        return blocking_database(self.config, place)

    def covet_health_checks(self) -> Iterable[HealthCheck]:
        """Ready while the server answers."""
        if (database := self._database) is not None:
            yield HealthCheck(name=f"{self._name}.query", check=database.check)

    def covet_metrics(self) -> Iterable[Metric]:
        """Connections, who waits for one, statements, and how long they take."""
        if (database := self._database) is None:
            return
        from covet_mysql._observe import metrics

        yield from metrics(self._name, database, self._observed)

    def covet_store_schemes(self) -> Iterable[StoreScheme]:
        """``mysql://user@host/database`` and ``mariadb://``, with keys of the table behind ``?``."""

        @asynccontextmanager
        async def open_url(url: str) -> AsyncIterator[MysqlDatabase]:
            from covet_mysql._url import config_of

            async with opened(config_of(url), "a store's URL") as database:
                yield database

        yield StoreScheme(scheme="mysql", open=open_url)
        yield StoreScheme(scheme="mariadb", open=open_url)


@asynccontextmanager
async def opened(config: MysqlConfig, place: str) -> AsyncIterator[MysqlDatabase]:
    """A database, open for the block.

    Raises:
        ConfigurationError: It cannot be used; says why.
    """
    # Only who opens a database pays for TLS and the protocol.
    from covet_mysql._database import MysqlDatabase
    from covet_mysql._errors import start_error
    from covet_mysql._url import url_error
    from covet_sql.driver import opened as opened_database

    async with opened_database(
        partial(MysqlDatabase, config), place, url_error=url_error, start_error=start_error
    ) as database:
        yield database
