"""The plugin: knows the tenants, and provides the database of each call's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
from anyio.abc import TaskGroup

from covet_kernel import Context, Plugin
from covet_kernel.contracts import SQL, Capability, Interceptor, Metric, SqlDatabase
from covet_operations import ErrorMapping, Invalid, NotFound
from covet_sql.routing import KeySource, RoutedDatabase, RoutesCalls
from covet_tenants._calls import EXTRA, TenantKey
from covet_tenants._config import TenantsConfig
from covet_tenants._errors import TenantMissingError, TenantUnknownError
from covet_tenants._files import FileDatabase, Files
from covet_tenants._schemas import SchemaDatabase
from covet_tenants._tenants import TENANTS, Tenants

if TYPE_CHECKING:
    import pluggy

    from covet_sql.driver import BlockingDatabase


class TenantsPlugin(Plugin[TenantsConfig]):
    """Provides each call with the database of its tenant."""

    implies = ("operations",)

    def __init__(self, config: TenantsConfig) -> None:
        super().__init__(config)
        self._name = "tenants"
        self._hooks: pluggy.PluginManager | None = None
        self._tenants: Tenants | None = None
        self._files: Files | None = None

    @property
    def requires(self) -> Sequence[Capability[Any]]:
        """The database that the tenants are in."""
        return (SQL.named(self.config.database),)

    @property
    def provides(self) -> Sequence[Capability[Any]]:
        """`TENANTS`, and the database of a call's tenant."""
        return (TENANTS, SQL.named(self.config.name))

    def covet_add_hookspecs(self, pm: pluggy.PluginManager) -> None:
        """Adds none: this is where a plugin meets those that open stores."""
        self._hooks = pm

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Learn which tenants there are, and go on learning."""
        self._name = ctx.name
        base = ctx.require(SQL.named(self.config.database))
        async with anyio.create_task_group() as tasks:
            make = self._maker(base, ctx, tasks)
            self._tenants = tenants = Tenants(self.config, base, make)
            await tenants.refresh()
            ctx.provide(TENANTS, tenants)
            ctx.provide(
                SQL.named(self.config.name), RoutedDatabase(tenants.dialect, tenants.of_call)
            )
            tasks.start_soon(tenants.keep)
            yield
            if self._files is not None:
                await self._files.close()
            tasks.cancel_scope.cancel()

    def _maker(self, base: SqlDatabase, ctx: Context, tasks: TaskGroup) -> Any:
        config = self.config
        if base.dialect != "sqlite":
            return lambda tenant: SchemaDatabase(base, config.schema_of(tenant), config.shared)
        (ctx.directory / config.path_of("tenant")).parent.mkdir(parents=True, exist_ok=True)
        opener = self._opener()

        def opened(tenant: str) -> AbstractAsyncContextManager[SqlDatabase]:
            found: AbstractAsyncContextManager[SqlDatabase] = opener(
                f"sqlite:///{quote(str(ctx.directory / config.path_of(tenant)))}"
            )
            return found

        self._files = files = Files(
            opened, tasks, limit=config.open_files, timeout=config.acquire_timeout
        )
        return lambda tenant: FileDatabase(files, tenant)

    def _opener(self) -> Any:
        assert self._hooks is not None
        for declared in self._hooks.hook.covet_store_schemes():
            for each in declared:
                if each.scheme == "sqlite":
                    return each.open
        raise AssertionError("a SQLite database is there, and nobody opens its files")

    def covet_interceptors(self) -> Iterable[Interceptor]:
        """Finds whose each call is."""
        if (tenants := self._tenants) is not None:
            yield RoutesCalls(
                self._name,
                mark=TenantKey,
                extra=EXTRA,
                default=KeySource.parse(self.config.key) if self.config.key else None,
                key=tenants.current,
            )

    def covet_error_mappings(self) -> Iterable[ErrorMapping]:
        """What callers are told."""
        yield ErrorMapping(
            exception=TenantMissingError, answer=Invalid, detail="the call does not say whose it is"
        )
        yield ErrorMapping(
            exception=TenantUnknownError, answer=NotFound, detail="there is no such tenant"
        )

    def covet_metrics(self) -> Iterable[Metric]:
        """How many tenants there are, and how many files are open."""
        if (tenants := self._tenants) is not None:
            yield Metric(
                name=f"{self._name}.known",
                kind="gauge",
                read=lambda: [((), len(tenants.all()))],
                help="Tenants that are known.",
            )
        if (files := self._files) is not None:
            yield Metric(
                name=f"{self._name}.open_files",
                kind="gauge",
                read=lambda: [((), files.open)],
                help="Tenants whose files are open.",
            )

    # For tools that block

    @property
    def tenants_of(self) -> tuple[str, str]:
        """The SQL instance that tenants are in, and the one that their migrations are declared for."""
        return self.config.database, self.config.name

    def tenant_names(self, base: BlockingDatabase) -> list[str]:
        """All tenants, by name."""
        from covet_tenants._blocking import names

        return names(self.config, base)

    def tenant_database(
        self, base: BlockingDatabase, tenant: str, directory: Path
    ) -> BlockingDatabase:
        """How to connect to what a tenant has."""
        from covet_tenants._blocking import schema_database

        if base.dialect != "sqlite":
            return schema_database(self.config, base, tenant)
        path = directory / self.config.path_of(tenant)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert base.at is not None
        return base.at(path)
