"""Relays that are killed, each at another of its steps; run as a process of its own, which forks.

A step is what the relay asks of the database or of the broker: the process is killed behind each of
them, which is before the next one. Ends with 0, and how many steps there were, if
every message was accepted by the broker in spite of it, in order.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from json import loads
from pathlib import Path
from typing import Any

import anyio

from covet_kernel import Plugin
from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_mysql import Mysql
from covet_outbox import MESSAGE_ID, OutboxConfig
from covet_outbox._outbox import Outbox
from covet_outbox._tables import make_ready
from covet_outbox._worker import Counts, Worker
from covet_postgres import Postgres
from covet_sql.queue import Doorbell
from covet_sqlite import Sqlite

PLUGINS: dict[str, type[Plugin[Any]]] = {"sqlite": Sqlite, "postgres": Postgres, "mysql": Mysql}
BODIES = [b"1", b"2"]


class Killer:
    """Counts steps, and ends the process at one of them."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._count = 0

    def step(self) -> None:
        self._count += 1
        if self._count == self._number:
            os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """A database or a session each of whose calls is a step."""

    def __init__(self, inner: Any, killer: Killer) -> None:
        self._inner, self._killer = inner, killer
        self.dialect = inner.dialect

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            result = await getattr(self._inner, name)(*args)
            self._killer.step()
            return result

        return call

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self._inner.transaction() as session:
            yield Steps(session, self._killer)
        self._killer.step()


class FileBroker:
    """Accepts a message by adding a line to a file."""

    def __init__(self, path: Path, killer: Killer) -> None:
        self._path, self._killer = path, killer

    async def publish(self, topic: str, body: bytes, **more: Any) -> None:
        with self._path.open("ab") as file:
            file.write(body + b" " + more["headers"][MESSAGE_ID].encode() + b"\n")
        self._killer.step()


class Place:
    """Where all of it happens.

    Args:
        plugin: Who provides the database.
        table: Its configuration.
        folder: For files.
    """

    def __init__(self, plugin: str, table: Any, folder: Path) -> None:
        self._classes = {plugin: PLUGINS[plugin]}
        self._tables = {plugin: table}
        self._folder = folder
        self.accepted = folder / "accepted"
        self.stored = folder / "stored"

    def _kernel(self) -> Any:
        return run_kernel(self._classes, self._tables, directory=self._folder)

    async def publish(self) -> None:
        """Have messages to relay, and nobody who holds anything."""
        self.accepted.write_bytes(b"")
        async with self._kernel() as kernel:
            db = kernel.require(SQL)
            await make_ready(db, make=True)
            outbox = Outbox(1000, Doorbell())
            ids = [await outbox.publish(db, "t", body, key="k") for body in BODIES]
            self.stored.write_text("\n".join(ids))

    async def relay(self, number: int) -> None:
        """Relay everything; killed at a step, if there is one of that number."""
        if number:
            await self.publish()
        killer = Killer(number)
        async with self._kernel() as kernel:
            if not number:  # as if the lease of the one before were over
                await kernel.require(SQL).execute("UPDATE covet_outbox_lanes SET held_until = 0")
            db: Any = Steps(kernel.require(SQL), killer)
            broker: Any = FileBroker(self.accepted, killer)
            worker = Worker(db, broker, OutboxConfig(), Counts(), logging.getLogger("crashing"))
            while await worker.has_work():
                await worker.round()
            await worker.release()


def forked(work: Any, backend: str) -> bool:
    """Do it in a process of its own; whether that was killed."""
    child = os.fork()
    if not child:
        anyio.run(work, backend=backend)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def main(plugin: str, table: str, folder: str, backend: str) -> None:
    place = Place(plugin, loads(table), Path(folder))
    for number in count(1):
        killed = forked(partial(place.relay, number), backend)
        forked(partial(place.relay, 0), backend)
        ids = place.stored.read_text().split()
        lines = [tuple(line.split()) for line in place.accepted.read_text().splitlines()]
        firsts = list(dict.fromkeys(lines))
        assert firsts == list(zip(map(bytes.decode, BODIES), ids, strict=True)), number
        if not killed:
            print(number)
            return


main(*sys.argv[1:])
