"""A kernel with a database, a broker and the outbox; on every database there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from services.databases import KINDS, PLUGINS, table_of

from covet_kernel import Plugin
from covet_kernel.contracts import BROKER, SQL, Broker, SqlDatabase
from covet_kernel.testing import fake_plugin, run_kernel
from covet_memory import Memory
from covet_outbox import INBOX, MESSAGE_ID, OUTBOX, Inbox, Outbox, OutboxPlugin

QUICK = {"poll": 0.02, "first_wait": 0.01, "longest_wait": 0.05, "lease": 2.0}
"""Nothing here is asserted by the clock; tests only should not wait for long."""


class Service:
    """What a test works with while a kernel runs."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.db: SqlDatabase = kernel.require(SQL)
        self.broker: Broker = kernel.require(BROKER)
        self.outbox: Outbox = kernel.require(OUTBOX)
        self.inbox: Inbox = kernel.require(INBOX)

    async def ids(self) -> list[str]:
        """The identifiers of what is in the outbox, in order."""
        rows = await self.db.fetch_all("SELECT id FROM covet_outbox ORDER BY position")
        return [row["id"] for row in rows]

    async def until_empty(self) -> None:
        """Wait for the relay to have published everything."""
        while await self.ids():
            await anyio.sleep(0.005)


Start = Callable[..., AbstractAsyncContextManager[Service]]


def starter(kind: str, table: dict[str, Any], folder: Path) -> Start:
    """Starts kernels on one database, inside the test so that leaks count."""

    @asynccontextmanager
    async def start(
        *, broker: type[Plugin[Any]] = Memory, more: dict[str, Any] | None = None, **config: Any
    ) -> AsyncIterator[Service]:
        classes = {kind: PLUGINS[kind], "memory": broker, "outbox": OutboxPlugin}
        tables = {kind: table, "outbox": {**QUICK, **config}}
        async with run_kernel({**classes, **(more or {})}, tables, directory=folder) as kernel:
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


@pytest.fixture
def start_postgres(tmp_path: Path) -> Iterator[Start]:
    """On PostgreSQL, for what only that has."""
    with table_of("postgres") as table:
        yield starter("postgres", table, tmp_path)


class Recorder:
    """A broker that keeps what it accepts, and refuses what it is told to.

    Attributes:
        got: The bodies, in the order in which they were accepted.
        tried: The bodies of all attempts.
    """

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.ids: list[str] = []
        self.tried: list[bytes] = []
        self.refuse: Callable[[bytes], Exception | None] = lambda body: None

    async def publish(self, topic: str, body: bytes, **more: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.tried.append(body)
        if error := self.refuse(body):
            raise error
        self.got.append(body)
        self.ids.append(more["headers"][MESSAGE_ID])


@pytest.fixture
def recorder() -> Recorder:
    """A broker to look into."""
    return Recorder()


@pytest.fixture
def recording(recorder: Recorder) -> type[Plugin[Any]]:
    """The plugin that provides it."""
    return fake_plugin(provides={BROKER: recorder})
