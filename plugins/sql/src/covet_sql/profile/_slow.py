"""The slow log: what took long, who asked for it, and how the database runs it."""

from __future__ import annotations

import logging
from collections import deque
from time import monotonic, time
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from covet_kernel.contracts import SqlDatabase, SqlError
from covet_sql.plan import explained
from covet_sql.profile._entry import Entry
from covet_sql.profile._issuer import issuer

log = logging.getLogger("covet.sql.slow")

KEPT = 100
"""Slow statements that a report has."""
AGAIN = 60.0
"""Seconds until one of the same shape is written to the log again; all are counted."""
QUEUE = 16
"""Plans that wait for being asked for; there may be more when the database is in trouble."""
PATIENCE = 10.0
"""Seconds that asking for one may take."""


class Plans:
    """Asks databases for the plans of slow statements, one after the other.

    A plan is asked for without the values of the parameters, so that none is in it.
    """

    def __init__(self) -> None:
        self._send: MemoryObjectSendStream[tuple[str, SqlDatabase, Entry, str]]
        self._receive: MemoryObjectReceiveStream[tuple[str, SqlDatabase, Entry, str]]
        self._send, self._receive = anyio.create_memory_object_stream(QUEUE)

    def ask(self, name: str, database: SqlDatabase, entry: Entry, text: str) -> None:
        """Have a statement's plan written to the log soon, unless too many are waiting."""
        try:
            self._send.send_nowait((name, database, entry, text))
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def run(self) -> None:
        """Ask for those that are wanted, until cancelled."""
        async for name, database, entry, text in self._receive:
            try:
                with anyio.fail_after(PATIENCE):
                    plan = await explained(database, text)
            except (SqlError, TimeoutError) as error:
                log.info("%s has no plan for %s: %s", name, entry.shape, error)
                continue
            entry.plan = plan.lines()
            lines = "\n".join(f"  {line}" for line in entry.plan)
            log.warning("%s runs %s so:\n%s", name, entry.shape, lines)

    def close(self) -> None:
        """Take no more."""
        self._send.close()
        self._receive.close()


class SlowLog:
    """The slow statements of one database.

    Args:
        name: The plugin instance that provides it.
        database: Is asked for plans; what it answers then is not profiled.

    Attributes:
        plans: Asks, if somebody does.
        last: The last of them, as plain data.
    """

    def __init__(self, name: str, database: SqlDatabase) -> None:
        self._name = name
        self._database = database
        self.plans: Plans | None = None
        self.last: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def note(self, entry: Entry, seconds: float, waited: float, rows: int, text: str) -> None:
        """A statement took long."""
        who = issuer()
        self.last.append(
            {
                "at": time(),
                "shape": entry.shape,
                "seconds": seconds,
                "waited": waited,
                "rows": rows,
                "issuer": who,
            }
        )
        now = monotonic()
        if now - entry.reported < AGAIN:
            return
        entry.reported = now
        log.warning(
            "%s took %.3f s (%.3f s of them waiting for a connection) and gave %d rows to %s: %s",
            self._name,
            seconds,
            waited,
            rows,
            who,
            entry.shape,
        )
        if self.plans is not None and entry.shape not in ("BEGIN", "COMMIT", "ROLLBACK"):
            self.plans.ask(self._name, self._database, entry, text)
