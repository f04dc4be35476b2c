"""The plugin: sees to it that tables are there before those start who need them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from covet_kernel import Command, Context, Plugin
from covet_kernel.contracts import SQL, Capability
from covet_migrations._config import MigrationsConfig
from covet_migrations._schema import SCHEMA, Schema

if TYPE_CHECKING:
    import pluggy


class MigrationsPlugin(Plugin[MigrationsConfig]):
    """Looks, when a service starts, whether its databases have its tables; adds ``covet db``."""

    def __init__(self, config: MigrationsConfig) -> None:
        super().__init__(config)
        self._hooks: pluggy.PluginManager | None = None

    @property
    def wants(self) -> Sequence[Capability[Any]]:
        """The databases, where a start looks at them."""
        if self.config.migrate == "off":
            return ()
        return tuple(SQL.named(name) for name in self.config.databases)

    @property
    def provides(self) -> Sequence[Capability[Any]]:
        """`SCHEMA` of each database."""
        return tuple(SCHEMA.named(name) for name in self.config.databases)

    def covet_add_hookspecs(self, pm: pluggy.PluginManager) -> None:
        """Adds none: this is where a plugin meets those that have migrations."""
        self._hooks = pm

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Migrate, or check, as the configuration says."""
        for name in self.config.databases:
            ctx.provide(SCHEMA.named(name), Schema(heads=await self._heads(ctx, name)))
        yield

    async def _heads(self, ctx: Context, name: str) -> tuple[str, ...]:
        db = None if self.config.migrate == "off" else ctx.get(SQL.named(name))
        if db is None or self._hooks is None:
            return ()
        from covet_migrations._ready import make_ready

        return await make_ready(
            db, name, self.config, hooks=self._hooks, directory=ctx.directory, log=ctx.log
        )

    def covet_commands(self) -> Iterable[Command]:
        """``covet db``."""
        from covet_migrations._commands import command

        yield command(self.config)
