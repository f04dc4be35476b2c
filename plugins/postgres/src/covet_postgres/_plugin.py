"""The plugin: its life, and what it lets others see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from covet_kernel import Context, Plugin
from covet_kernel.contracts import SQL, HealthCheck, Interceptor, Metric, StoreScheme
from covet_postgres._config import PostgresConfig

if TYPE_CHECKING:
    from covet_postgres._database import PostgresDatabase
    from covet_postgres._replicas import ReplicatedDatabase
    from covet_sql.driver import BlockingDatabase
    from covet_sql.profile import ObservedDatabase


class Postgres(Plugin[PostgresConfig]):
    """Provides a PostgreSQL database as `SqlDatabase`."""

    provides = (SQL,)

    def __init__(self, config: PostgresConfig) -> None:
        super().__init__(config)
        self._name = "postgres"
        self._database: PostgresDatabase | None = None
        self._replicated: ReplicatedDatabase | None = None
        self._observed: ObservedDatabase

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Connect before anybody needs the database, close after everybody has stopped."""
        self._name = ctx.name
        async with opened(self.config, f"[plugins.{ctx.name}] url") as database:
            from covet_sql.profile import observe

            self._database = database
            if self.config.replicas:
                from covet_postgres._replicas import ReplicatedDatabase

                assert isinstance(database, ReplicatedDatabase)
                self._replicated = database
            self._observed = observe(ctx.name, database, database.pools)
            ctx.provide(SQL, self._observed)
            yield

    def blocking_database(self, directory: Path, place: str) -> BlockingDatabase:
        """How tools that block, as migrations do, reach the database."""
        from covet_postgres._blocking import blocking_database

        return blocking_database(self.config, place)

    def covet_health_checks(self) -> Iterable[HealthCheck]:
        """Ready while the server answers, and replicas that are required are read from."""
        if (database := self._database) is not None:
            yield HealthCheck(name=f"{self._name}.query", check=database.check)
        if (replicated := self._replicated) is not None:
            for server in replicated.watch.readers:
                if server.required:
                    yield HealthCheck(
                        name=f"{self._name}.replica.{server.where}",
                        check=partial(replicated.check_replica, server),
                    )

    def covet_metrics(self) -> Iterable[Metric]:
        """Connections, who waits for one, statements, and how long they take."""
        if (database := self._database) is None:
            return
        from covet_postgres._observe import metrics

        yield from metrics(self._name, database, self._observed)
        if self._replicated is not None:
            from covet_postgres._observe_replicas import replica_metrics

            yield from replica_metrics(self._name, self._replicated)

    def covet_interceptors(self) -> Iterable[Interceptor]:
        """With replicas: what one of a call's tasks has written, the reads of the others see."""
        if self.config.replicas:
            from covet_postgres._written import WrittenByCall

            yield WrittenByCall(self._name)

    def covet_store_schemes(self) -> Iterable[StoreScheme]:
        """``postgres://user@host/database`` and ``postgresql://``, with parameters behind ``?``."""

        @asynccontextmanager
        async def open_url(url: str) -> AsyncIterator[PostgresDatabase]:
            from covet_postgres._url import config_of

            async with opened(config_of(url), "a store's URL") as database:
                yield database

        yield StoreScheme(scheme="postgres", open=open_url)
        yield StoreScheme(scheme="postgresql", open=open_url)


@asynccontextmanager
async def opened(config: PostgresConfig, place: str) -> AsyncIterator[PostgresDatabase]:
    """A database, open for the block.

    Raises:
        ConfigurationError: It cannot be used; says why.
    """
    # psycopg is nearly all of this plugin's start: only who opens a database pays for it.
    from covet_postgres._errors import start_error
    from covet_postgres._url import url_error
    from covet_sql.driver import opened as opened_database

    async with opened_database(
        partial(_database, config), place, url_error=url_error, start_error=start_error
    ) as database:
        yield database


def _database(config: PostgresConfig, tasks: TaskGroup) -> PostgresDatabase:
    if config.replicas:
        from covet_postgres._replicas import ReplicatedDatabase

        return ReplicatedDatabase(config, tasks)
    from covet_postgres._database import PostgresDatabase

    return PostgresDatabase(config, tasks)
