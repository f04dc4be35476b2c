"""The relay: workers that publish what is committed, until the service stops."""

from __future__ import annotations

from contextlib import suppress
from logging import Logger

import anyio

from covet_kernel import Serving
from covet_kernel.contracts import Broker, SqlDatabase, SqlError
from covet_outbox._config import OutboxConfig
from covet_outbox._statements import CHANNEL
from covet_outbox._worker import Counts, Worker
from covet_sql.queue import Doorbell, Looks, backoff

RELEASE = 5.0
"""Seconds that a worker that ends may take to let others have its lanes."""
LONGEST_REST = 10
"""Times the first wait that all messages wait for a broker that has accepted nothing."""


class Relay:
    """Publishes from the database to the broker.

    Args:
        db: Where the outbox is.
        broker: Where messages go.
        config: The plugin's.
        doorbell: Where idle workers wait.
        log: Is told of trouble.

    Attributes:
        counts: What was done since it was made.
    """

    def __init__(
        self,
        db: SqlDatabase,
        broker: Broker,
        config: OutboxConfig,
        doorbell: Doorbell,
        log: Logger,
    ) -> None:
        self._db = db
        self._broker = broker
        self._config = config
        self._doorbell = doorbell
        self._log = log
        self._stop_at = float("inf")
        self.counts = Counts()

    async def serve(self, serving: Serving) -> None:
        """Relay; when the service drains, publish what is committed by then and return."""
        # One writer is all that SQLite has.
        workers = 1 if self._db.dialect == "sqlite" else self._config.workers
        self._stop_at = float("inf")
        async with anyio.create_task_group() as around:
            around.start_soon(self._doorbell.listen, self._db, CHANNEL)
            around.start_soon(self._stop_with, serving.draining)
            async with anyio.create_task_group() as tasks:
                for _ in range(workers):
                    tasks.start_soon(self._work, serving.draining)
            around.cancel_scope.cancel()

    async def _stop_with(self, draining: anyio.Event) -> None:
        await draining.wait()
        self._stop_at = anyio.current_time() + self._config.drain
        self._doorbell.ring()

    async def _work(self, draining: anyio.Event) -> None:
        worker = Worker(self._db, self._broker, self._config, self.counts, self._log)
        looks = Looks(self._doorbell, self._config.poll)
        failures = 0
        try:
            while anyio.current_time() < self._stop_at:
                # What was committed before the stop was asked for is seen by a look behind that.
                last = draining.is_set()
                try:
                    busy = await self._look(worker)
                    failures = 0
                except SqlError as error:
                    busy, failures = False, failures + 1
                    self._log.warning("the relay cannot reach its database: %s", error)
                if busy:
                    continue
                if last:
                    break
                if draining.is_set():
                    continue
                if failures or worker.outages:
                    await self._rest(max(failures, worker.outages), draining)
                else:
                    await looks.pause()
        finally:
            # Whoever comes next need not wait for the lease to end; if it cannot be said, it will.
            with anyio.move_on_after(RELEASE, shield=True), suppress(SqlError):
                await worker.release()

    async def _look(self, worker: Worker) -> bool:
        return await worker.has_work() and await worker.round()

    async def _rest(self, failures: int, draining: anyio.Event) -> None:
        """Leave a database or a broker in trouble alone for a while."""
        first = self._config.first_wait
        longest = min(self._config.longest_wait, LONGEST_REST * first)
        with anyio.move_on_after(backoff(failures, first, longest)):
            await draining.wait()
