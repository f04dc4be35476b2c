"""The plugin: its life, and what it lets others see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
from anyio import to_thread

from covet_kernel import ConfigurationError, Context, Plugin
from covet_kernel.contracts import SQL, Capability, Command, HealthCheck, Metric
from covet_twophase._capability import TWO_PHASE
from covet_twophase._config import TwoPhaseConfig
from covet_twophase._coordinator import Coordinator
from covet_twophase._counts import Counts
from covet_twophase._folder import Logs
from covet_twophase._recovery import Recovery

if TYPE_CHECKING:
    from covet_kernel.contracts import SqlDatabase
    from covet_sql.driver import Branching


class TwoPhasePlugin(Plugin[TwoPhaseConfig]):
    """Provides transactions over several databases, and ends those that a crash has left."""

    provides = (TWO_PHASE,)
    coordinator_type: ClassVar[type[Coordinator]] = Coordinator

    def __init__(self, config: TwoPhaseConfig) -> None:
        super().__init__(config)
        self._name = "twophase"
        self._logs: Logs | None = None
        self._recovery: Recovery | None = None
        self._counts = Counts()

    @property
    def requires(self) -> Sequence[Capability[Any]]:
        """The databases."""
        return tuple(SQL.named(name) for name in self.config.databases)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """End what is in doubt, as far as that goes at once, and go on with it beside the service."""
        self._name = ctx.name
        found = {name: ctx.require(SQL.named(name)) for name in self.config.databases}
        drivers = {name: driver_of(name, each, ctx.name) for name, each in found.items()}
        for name, driver in drivers.items():
            await refuse_if_off(name, driver, ctx.name)
        logs = Logs(ctx.directory / self.config.log)
        log = await to_thread.run_sync(logs.open)
        try:
            recovery = Recovery(
                drivers,
                logs,
                self.config,
                self._counts,
                ctx.emit,
                partial(_changed, found),
                ctx.log,
            )
            with anyio.move_on_after(self.config.start_timeout):
                async with anyio.create_task_group() as tasks:
                    for name in drivers:
                        tasks.start_soon(recovery.resolve, name)
            self._logs, self._recovery = logs, recovery
            coordinator = self.coordinator_type(found, log, recovery, self.config, self._counts)
            ctx.provide(TWO_PHASE, coordinator)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(recovery.run)
                yield
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await logs.close()

    def covet_health_checks(self) -> Iterable[HealthCheck]:
        """Ready while decisions can be recorded, and nothing is in doubt for long."""
        if self._recovery is not None:
            yield HealthCheck(name=f"{self._name}.in_doubt", check=self._check)

    async def _check(self) -> None:
        assert self._recovery is not None
        assert self._logs is not None
        for log in self._logs.held.values():
            if log.failure is not None:
                raise RuntimeError(f"{log.path} cannot be written: {log.failure}")
        if stuck := self._recovery.stuck():
            raise RuntimeError(f"in doubt for too long: {'; '.join(stuck[:5])}")

    def covet_metrics(self) -> Iterable[Metric]:
        """What became of transactions, and what is in doubt."""
        if self._recovery is None or self._logs is None:
            return
        from covet_twophase._observe import metrics

        yield from metrics(self._recovery, self._logs, self._counts)

    def covet_commands(self) -> Iterable[Command]:
        """``covet twophase``."""
        from covet_twophase._commands import command

        yield command(self.config)


def _changed(databases: Mapping[str, SqlDatabase], name: str) -> None:
    from covet_sql.profile import ObservedDatabase

    database = databases[name]
    if isinstance(database, ObservedDatabase):
        database.written_elsewhere()


async def refuse_if_off(name: str, driver: Branching, plugin: str) -> None:
    """Look whether the server takes branches.

    Raises:
        ConfigurationError: It does not.
    """
    if reason := await driver.refuses_branches():
        raise ConfigurationError(
            "COVET-TWOPHASE-OFF",
            f"the server of {SQL.named(name).id!r} prepares no transactions: {reason}.",
            place=f"[plugins.{plugin}] databases",
            fix="Set max_prepared_transactions in its configuration and restart it.",
        )


def driver_of(name: str, database: SqlDatabase, plugin: str) -> Branching:
    """The driver's own database, past what observes it: what recovery does is no statement of the service.

    Raises:
        ConfigurationError: Its transactions cannot be branches.
    """
    from covet_sql.driver import Branching

    driver = getattr(database, "inner", database)
    if not isinstance(driver, Branching):
        raise ConfigurationError(
            "COVET-TWOPHASE-DATABASE",
            f"{SQL.named(name).id!r} cannot prepare a transaction ({database.dialect}).",
            place=f"[plugins.{plugin}] databases",
            fix="Name databases of PostgreSQL or MariaDB.",
        )
    return driver
