"""The plugin: its life, and what it lets others see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from covet_kernel import Command, Context, Plugin
from covet_kernel.contracts import BROKER, SQL, Capability, HealthCheck, Metric
from covet_outbox._config import OutboxConfig
from covet_outbox._inbox import Inbox
from covet_outbox._janitor import Janitor, look
from covet_outbox._outbox import Outbox
from covet_outbox._relay import Relay
from covet_outbox._tables import make_ready
from covet_outbox._tokens import INBOX, OUTBOX
from covet_sql.queue import Doorbell, Upkeep


class OutboxPlugin(Plugin[OutboxConfig]):
    """Publishes messages that were stored in transactions, and lets messages be consumed once."""

    provides = (OUTBOX, INBOX)

    def __init__(self, config: OutboxConfig) -> None:
        super().__init__(config)
        self._name = "outbox"
        self._parts: tuple[Outbox, Inbox, Janitor] | None = None
        self._relay: Relay | None = None

    @property
    def requires(self) -> Sequence[Capability[Any]]:
        """The database, and the broker where this process relays."""
        broker = (BROKER.named(self.config.broker),) if self.config.relay else ()
        return (SQL.named(self.config.database), *broker)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """See that the tables are there; the relay begins when everything is up."""
        self._name = ctx.name
        db = ctx.require(SQL.named(self.config.database))
        await make_ready(db, make=self.config.tables == "create")
        doorbell = Doorbell()
        outbox, inbox = Outbox(self.config.message_bytes, doorbell), Inbox(db, ctx.log)
        janitor = Janitor(db, self.config, ctx.log)
        self._parts = outbox, inbox, janitor
        ctx.provide(OUTBOX, outbox)
        ctx.provide(INBOX, inbox)
        if self.config.relay:
            broker = ctx.require(BROKER.named(self.config.broker))
            self._relay = Relay(db, broker, self.config, doorbell, ctx.log)
            ctx.serve(self._relay.serve)
        self._db = db
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Upkeep(janitor.measure, janitor.sweep, ctx.log).run)
            yield
            tasks.cancel_scope.cancel()

    def covet_commands(self) -> Iterable[Command]:
        """``covet outbox``."""
        from covet_outbox._commands import command

        yield command(self.config)

    def covet_health_checks(self) -> Iterable[HealthCheck]:
        """Ready while no message waits for too long, where that matters."""
        if self._parts is not None and self.config.max_lag:
            yield HealthCheck(name=f"{self._name}.lag", check=self._check)

    async def _check(self) -> None:
        lag, most = (await look(self._db)).lag, self.config.max_lag
        if lag > most:
            raise RuntimeError(
                f"a message waits to be published for {lag:.0f} s, more than {most:g}"
            )

    def covet_metrics(self) -> Iterable[Metric]:
        """How much waits and for how long, and what was done."""
        if self._parts is None:
            return
        from covet_sql.profile import single_metric

        outbox, inbox, janitor = self._parts
        gauges: tuple[tuple[str, str, Callable[[], float], str], ...] = (
            ("depth", "", lambda: janitor.measured.depth, "Messages that wait to be published."),
            ("dead", "", lambda: janitor.measured.dead, "Messages that are set aside."),
            ("lag", "s", lambda: janitor.measured.lag, "Age of the oldest message that waits."),
        )
        counters: list[tuple[str, Callable[[], float], str]] = [
            ("stored", lambda: outbox.stored, "Messages stored in transactions."),
            ("inbox.handled", lambda: inbox.handled, "Messages that had their effect."),
            ("inbox.repeated", lambda: inbox.repeated, "Deliveries with nothing left to do."),
            ("inbox.failed", lambda: inbox.failed, "Handlers that raised."),
        ]
        if (relay := self._relay) is not None:
            counts = relay.counts
            counters += [
                ("published", lambda: counts.published, "Messages the broker accepted."),
                ("failed", lambda: counts.failed, "Attempts that it did not."),
                ("buried", lambda: counts.dead, "Messages set aside by this process."),
            ]
        for name, unit, read, text in gauges:
            yield single_metric(f"outbox.{name}", self._name, read, text, kind="gauge", unit=unit)
        for name, read, text in counters:
            yield single_metric(f"outbox.{name}", self._name, read, text)
