"""Who works at sagas in this process: finds them, and gives each to a task of its own."""

from __future__ import annotations

from collections.abc import Mapping
from logging import Logger
from typing import Any

import anyio

from covet_kernel import ConfigurationError, Serving
from covet_kernel.contracts import SqlError
from covet_sagas._config import SagasConfig
from covet_sagas._runner import Counts, Runner
from covet_sagas._saga import Held, Saga
from covet_sagas._store import Store
from covet_sql.queue import Doorbell, Looks

HOOK = "covet_saga_types"


def declared(serving: Serving) -> dict[str, Saga[Any]]:
    """The sagas of all plugins by name.

    Raises:
        ConfigurationError: Two have one name.
    """
    found: dict[str, Saga[Any]] = {}
    owners: dict[str, str] = {}
    for owner, saga in serving.collect(HOOK):
        if saga.name in found and found[saga.name] is not saga:
            raise ConfigurationError(
                "COVET-SAGAS-NAME",
                f"two sagas are called {saga.name!r}.",
                place=f"{HOOK} of {owners[saga.name]} and of {owner}",
                fix="Rename one: those that are under way are found by their name.",
            )
        found[saga.name], owners[saga.name] = saga, owner
    return found


class Workers:
    """Takes sagas that have something to do, up to a number at once.

    Args:
        store: Where they are.
        config: The plugin's.
        doorbell: Rings when one was started here.
        log: Is told of trouble.

    Attributes:
        counts: What was done since it was made.
    """

    def __init__(self, store: Store, config: SagasConfig, doorbell: Doorbell, log: Logger) -> None:
        self._store = store
        self._config = config
        self._doorbell = doorbell
        self._log = log
        self._active = 0
        self.counts = Counts()

    async def serve(self, serving: Serving) -> None:
        """Work; when the service drains, finish the steps at hand, and return."""
        sagas, draining = declared(serving), serving.draining
        async with anyio.create_task_group() as around:
            around.start_soon(self._ring_at, draining)
            async with anyio.create_task_group() as tasks:
                looks = Looks(self._doorbell, self._config.poll)
                while not draining.is_set():
                    if not await self._look(sagas, tasks, draining):
                        await looks.pause()
            around.cancel_scope.cancel()

    async def _ring_at(self, event: anyio.Event) -> None:
        await event.wait()
        self._doorbell.ring()

    async def _look(
        self, sagas: Mapping[str, Saga[Any]], tasks: anyio.abc.TaskGroup, draining: anyio.Event
    ) -> bool:
        """Begin with those that there is room for; whether there may be more."""
        room = self._config.concurrency - self._active
        if not room or not sagas:
            return False
        try:
            taken = await self._store.take(list(sagas), room)
        except SqlError as error:
            self._log.warning("sagas cannot be looked for: %s", error)
            return False
        for held in taken:
            self._active += 1
            tasks.start_soon(self._work, sagas[held.name], held, draining)
        return len(taken) == room

    async def _work(self, saga: Saga[Any], held: Held, draining: anyio.Event) -> None:
        runner = Runner(self._store, self._config, self.counts, self._log, saga, held)
        try:
            await runner.work(draining)
        finally:
            self._active -= 1
            self._doorbell.ring()
