"""The plugin: its life, and what it lets others see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from covet_kernel import Command, Context, Plugin, Serving
from covet_kernel.contracts import SQL, Capability, Metric, SqlDatabase
from covet_sagas._config import SagasConfig
from covet_sagas._sagas import SAGAS, Sagas
from covet_sagas._specs import Specs
from covet_sagas._store import Store
from covet_sagas._tables import make_ready
from covet_sagas._upkeep import Measured, look, sweep
from covet_sagas._workers import Workers, declared
from covet_sql.queue import Doorbell, Upkeep

if TYPE_CHECKING:
    import pluggy


class SagasPlugin(Plugin[SagasConfig]):
    """Runs sagas whose steps happen, or are undone, whatever crashes in between."""

    provides = (SAGAS,)

    def __init__(self, config: SagasConfig) -> None:
        super().__init__(config)
        self._name = "sagas"
        self._sagas: Sagas | None = None
        self._workers: Workers | None = None
        self._measured = Measured()

    @property
    def requires(self) -> Sequence[Capability[Any]]:
        """The database."""
        return (SQL.named(self.config.database),)

    def covet_add_hookspecs(self, pm: pluggy.PluginManager) -> None:
        """Adds ``covet_saga_types``."""
        pm.add_hookspecs(Specs)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """See that the tables are there; work begins when everything is up."""
        self._name = ctx.name
        db = ctx.require(SQL.named(self.config.database))
        await make_ready(db, make=self.config.tables == "create")
        doorbell = Doorbell()
        self._sagas = Sagas(self.config.data_bytes, doorbell)
        ctx.provide(SAGAS, self._sagas)
        ctx.compile(check)
        if self.config.run:
            store = Store(db, self.config.lease)
            self._workers = Workers(store, self.config, doorbell, ctx.log)
            ctx.serve(self._workers.serve)

        async def remove() -> bool:
            return await sweep(db, self.config.retention)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Upkeep(lambda: self._measure(db), remove, ctx.log).run)
            yield
            tasks.cancel_scope.cancel()

    async def _measure(self, db: SqlDatabase) -> None:
        self._measured = await look(db)

    def covet_commands(self) -> Iterable[Command]:
        """``covet sagas``."""
        from covet_sagas._commands import command

        yield command(self.config)

    def covet_metrics(self) -> Iterable[Metric]:
        """How many sagas there are, and what was done."""
        if (sagas := self._sagas) is None:
            return
        from covet_sql.profile import single_metric

        gauges: tuple[tuple[str, str, Callable[[], float], str], ...] = (
            ("running", "", lambda: self._measured.running, "Sagas under way."),
            ("undoing", "", lambda: self._measured.undoing, "Sagas that are being undone."),
            ("attention", "", lambda: self._measured.parked, "Sagas that are parked."),
            ("lag", "s", lambda: self._measured.lag, "How late the latest is."),
        )
        counters: list[tuple[str, Callable[[], float], str]] = [
            ("started", lambda: sagas.started, "Sagas started in transactions.")
        ]
        if self._workers is not None:
            counts = self._workers.counts
            counters += [
                ("steps", lambda: counts.steps, "Steps recorded as done or undone."),
                ("failed", lambda: counts.failed, "Attempts that failed."),
                ("done", lambda: counts.done, "Sagas over with every step done."),
                ("undone", lambda: counts.undone, "Sagas over with every step undone."),
                ("parked", lambda: counts.parked, "Sagas that this process parked."),
                ("lost", lambda: counts.lost, "Sagas that others took over from this process."),
            ]
        for name, unit, read, text in gauges:
            yield single_metric(f"sagas.{name}", self._name, read, text, kind="gauge", unit=unit)
        for name, read, text in counters:
            yield single_metric(f"sagas.{name}", self._name, read, text)


def check(serving: Serving) -> None:
    """Refuse sagas that cannot be told apart, before anything serves."""
    declared(serving)
