"""A kernel with a database and sagas; on every database there is."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from services.databases import KINDS, PLUGINS, table_of

from covet_kernel.contracts import SQL, SqlDatabase
from covet_kernel.testing import fake_plugin, run_kernel
from covet_sagas import SAGAS, Saga, Sagas, SagasConfig, SagasPlugin, Status
from covet_sagas._runner import Counts, Runner
from covet_sagas._store import Store

LOG = logging.getLogger("covet.test")
QUICK = {"poll": 0.02, "first_wait": 0.01, "longest_wait": 0.02}
"""Nothing here is asserted by the clock; tests only should not wait for long."""


class Service:
    """What a test works with while a kernel runs."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.db: SqlDatabase = kernel.require(SQL)
        self.sagas: Sagas = kernel.require(SAGAS)

    async def start(self, saga: Saga[Any], data: Any, **more: Any) -> str:
        """Start one; its identifier."""
        async with self.db.transaction() as session:
            return await self.sagas.start(session, saga, data, **more)

    async def until(self, identifier: str, *states: str) -> Status:
        """Wait until it is in one of these states."""
        while True:
            found = await self.sagas.status(self.db, identifier)
            assert found is not None
            if found.state in states:
                return found
            await anyio.sleep(0.005)

    async def run(self, saga: Saga[Any], data: Any, **more: Any) -> Status:
        """Start one and wait until nothing more will happen to it."""
        return await self.until(await self.start(saga, data, **more), "done", "undone", "parked")

    async def log(self, identifier: str) -> list[tuple[str, str, int]]:
        """What is on record of it."""
        rows = await self.db.fetch_all(
            "SELECT event, step, attempt FROM covet_saga_log WHERE saga = ? ORDER BY position",
            (identifier,),
        )
        return [(row["event"], row["step"], row["attempt"]) for row in rows]


Start = Callable[..., AbstractAsyncContextManager[Service]]


def starter(kind: str, table: dict[str, Any], folder: Path) -> Start:
    """Starts kernels on one database, inside the test so that leaks count."""

    @asynccontextmanager
    async def start(*sagas: Saga[Any], **config: Any) -> AsyncIterator[Service]:
        shop = fake_plugin(requires=[SAGAS], covet_saga_types=lambda self: sagas)
        classes = {kind: PLUGINS[kind], "sagas": SagasPlugin, "shop": shop}
        tables = {kind: table, "sagas": {**QUICK, **config}}
        async with run_kernel(classes, tables, directory=folder) as kernel:
            yield Service(kernel)

    return start


@pytest.fixture(params=KINDS)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """On each database."""
    with table_of(request.param) as table:
        yield starter(request.param, table, tmp_path)


@pytest.fixture
def start_sqlite(tmp_path: Path) -> Start:
    """On SQLite, for what does not depend on the database."""
    return starter("sqlite", {"path": "test.db"}, tmp_path)


class Script:
    """Steps that note what is asked of them, and fail as often as they are told to.

    Attributes:
        calls: What was asked: the step, behind ``-`` its undoing.
        keys: The keys that came with each.
        fail: By the same names, the errors to come; the last one stays if it is in a tuple.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.keys: dict[str, set[str]] = {}
        self.numbers: dict[str, list[int]] = {}
        self.fail: dict[str, list[Exception]] = {}

    def act(self, name: str) -> Callable[[Any], Any]:
        async def run(attempt: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            self.calls.append(name)
            self.keys.setdefault(name, set()).add(attempt.key)
            self.numbers.setdefault(name, []).append(attempt.number)
            if errors := self.fail.get(name):
                raise errors.pop(0)
            return [*attempt.data, name]

        return run

    def pair(self, name: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """A step, and what undoes it."""
        return self.act(name), self.act(f"-{name}")


@pytest.fixture
def script() -> Script:
    """What happens."""
    return Script()


class Hand:
    """One worker's hands."""

    def __init__(self, service: Any, saga: Saga[Any], **config: Any) -> None:
        self.saga, self.counts = saga, Counts()
        self.config = SagasConfig(**{"first_wait": 0.001, "longest_wait": 0.001, **config})
        self.store = Store(service.db, self.config.lease)
        self.draining = anyio.Event()

    async def take(self) -> Runner | None:
        """Have the one saga there is, if it is free."""
        taken = await self.store.take([self.saga.name], 10)
        if not taken:
            return None
        return Runner(self.store, self.config, self.counts, LOG, self.saga, taken[0])

    async def work(self) -> None:
        if runner := await self.take():
            await runner.work(self.draining)


@pytest.fixture
def hand() -> type[Hand]:
    """Makes one worker's hands."""
    return Hand
