"""Relays that are killed, each at another of its steps; a process of its own.

A step is what the relay asks of the database or of the broker. Prints how many there were, if every
message was accepted by the broker in spite of it, in order.
"""

from __future__ import annotations

import logging
import sys
from json import loads
from pathlib import Path
from typing import Any

from services.crashes import Killer, Steps, kill_everywhere
from services.databases import PLUGINS

from covet_kernel.contracts import SQL
from covet_kernel.testing import run_kernel
from covet_outbox import MESSAGE_ID, OutboxConfig
from covet_outbox._outbox import Outbox
from covet_outbox._tables import make_ready
from covet_outbox._worker import Counts, Worker
from covet_sql.queue import Doorbell

BODIES = ["1", "2"]


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
        table: Its configuration, as JSON.
        folder: For files.
    """

    def __init__(self, plugin: str, table: str, folder: str) -> None:
        self._classes = {plugin: PLUGINS[plugin]}
        self._tables = {plugin: loads(table)}
        self._folder = Path(folder)
        self._accepted = self._folder / "accepted"
        self._stored = self._folder / "stored"

    async def relay(self, number: int) -> None:
        """Relay everything; killed at a step, if there is one of that number."""
        killer = Killer(number)
        async with run_kernel(self._classes, self._tables, directory=self._folder) as kernel:
            plain = kernel.require(SQL)
            if number:
                await make_ready(plain, make=True)
                outbox = Outbox(1000, Doorbell())
                ids = [await outbox.publish(plain, "t", each.encode(), key="k") for each in BODIES]
                self._accepted.write_bytes(b"")
                self._stored.write_text("\n".join(ids))
            # As if the lease of the one before were over.
            await plain.execute("UPDATE covet_outbox_lanes SET held_until = 0")
            db: Any = Steps(plain, killer)
            broker: Any = FileBroker(self._accepted, killer)
            worker = Worker(db, broker, OutboxConfig(), Counts(), logging.getLogger("crashing"))
            while await worker.has_work():
                await worker.round()
            await worker.release()

    def check(self) -> None:
        """Every message at least once, and the first times in order, by their identifiers."""
        lines = [tuple(line.split()) for line in self._accepted.read_text().splitlines()]
        ids = self._stored.read_text().split()
        assert list(dict.fromkeys(lines)) == list(zip(BODIES, ids, strict=True))


place = Place(*sys.argv[1:])
print(kill_everywhere(place.relay, place.check))
