"""The plugin: its life, and what it lets others see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from covet_kernel import Context, Plugin
from covet_kernel.contracts import SQL, HealthCheck, Metric, SqlError, StoreScheme
from covet_sqlite._config import MEMORY, SqliteConfig

if TYPE_CHECKING:
    from covet_sql.driver import BlockingDatabase
    from covet_sql.profile import ObservedDatabase
    from covet_sqlite._database import SqliteDatabase


class Sqlite(Plugin[SqliteConfig]):
    """Provides a SQLite database as `SqlDatabase`."""

    provides = (SQL,)

    def __init__(self, config: SqliteConfig) -> None:
        super().__init__(config)
        self._name = "sqlite"
        self._directory = Path()
        self._database: SqliteDatabase | None = None
        self._observed: ObservedDatabase

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Open the database before anybody needs it, close it after everybody has stopped."""
        self._name, self._directory = ctx.name, ctx.directory
        async with opened(self.config, ctx.directory, f"[plugins.{ctx.name}] path") as database:
            from covet_sql.profile import observe
            from covet_sqlite._observe import pools_of

            self._database = database
            self._observed = observe(ctx.name, database, pools_of(database).values())
            ctx.provide(SQL, self._observed)
            yield

    def blocking_database(self, directory: Path, place: str) -> BlockingDatabase:
        """How tools that block, as migrations do, reach the database."""
        from covet_sqlite._blocking import blocking_database

        return blocking_database(self.config, directory, place)

    def covet_health_checks(self) -> Iterable[HealthCheck]:
        """Ready while the file can be read."""
        if (database := self._database) is not None:
            yield HealthCheck(name=f"{self._name}.read", check=database.check)

    def covet_metrics(self) -> Iterable[Metric]:
        """Connections, who waits for one, statements, and how long they take."""
        if (database := self._database) is None:
            return
        from covet_sqlite._observe import metrics

        yield from metrics(self._name, database, self._observed)

    def covet_store_schemes(self) -> Iterable[StoreScheme]:
        """``sqlite:///relative``, ``sqlite:////absolute``, ``sqlite:///:memory:``."""
        from covet_sqlite._url import config_of

        @asynccontextmanager
        async def open_url(url: str) -> AsyncIterator[SqliteDatabase]:
            async with opened(config_of(url), self._directory, url) as database:
                yield database

        yield StoreScheme(scheme="sqlite", open=open_url)


@asynccontextmanager
async def opened(
    config: SqliteConfig, directory: Path, place: str
) -> AsyncIterator[SqliteDatabase]:
    """A database, open for the block.

    Raises:
        ConfigurationError: It cannot be used; says why.
    """
    # apsw is the larger half of this plugin's start: only who opens a database pays for it.
    from covet_sqlite._database import SqliteDatabase
    from covet_sqlite._errors import check_place, start_error

    path = None if config.path == MEMORY else directory / config.path
    if path is not None:
        check_place(path, place)
    database = SqliteDatabase(path, config)
    try:
        try:
            await database.open()
        except SqlError as error:
            raise start_error(error, path or Path(MEMORY), place) from error
        yield database
    finally:
        await database.close()
