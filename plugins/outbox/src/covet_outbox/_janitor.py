"""How full the outbox is, and when what is kept goes."""

from __future__ import annotations

from logging import Logger

from covet_kernel.contracts import SqlDatabase
from covet_outbox._config import OutboxConfig
from covet_outbox._statements import PURGED, measure, old_dead, purge_inbox, remove


class Measured:
    """What a look at the tables has shown.

    Attributes:
        depth: Messages that wait to be published, counted up to 100,000.
        dead: Messages that are set aside, counted likewise.
        lag: Seconds since the oldest of those that wait was stored.
    """

    depth = 0
    dead = 0
    lag = 0.0


async def look(db: SqlDatabase) -> Measured:
    """Measure.

    Raises:
        SqlError: The database refused.
    """
    row = await db.fetch_one(measure(db.dialect))
    found = Measured()
    if row is not None:
        found.depth, found.dead = int(row["depth"]), int(row["dead"])
        oldest = [row[name] for name in ("ready", "waiting") if row[name] is not None]
        found.lag = max(0.0, (row["now"] - min(oldest)) / 1000) if oldest else 0.0
    return found


class Janitor:
    """Looks after the tables beside the relay.

    Args:
        db: Where the tables are.
        config: The plugin's.
        log: Is told of trouble.

    Attributes:
        measured: What the last look has shown.
    """

    def __init__(self, db: SqlDatabase, config: OutboxConfig, log: Logger) -> None:
        self._db = db
        self._config = config
        self._log = log
        self.measured = Measured()

    async def measure(self) -> None:
        """Look.

        Raises:
            SqlError: The database refused.
        """
        self.measured = await look(self._db)

    async def sweep(self) -> bool:
        """Remove a batch of what is too old; whether there may be more.

        Raises:
            SqlError: The database refused.
        """
        dialect, config = self._db.dialect, self._config
        age = int(config.inbox_retention * 1000)
        forgotten = await self._db.execute(purge_inbox(dialect), (age,))
        rows = await self._db.fetch_all(old_dead(dialect), (int(config.dead_retention * 1000),))
        if rows:
            self._log.warning("%d dead messages were kept for long enough", len(rows))
            await self._db.execute(*remove([row["position"] for row in rows]))
        return PURGED in (forgotten, len(rows))
