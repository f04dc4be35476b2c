"""How many sagas there are, and when those that are over go."""

from __future__ import annotations

from covet_kernel.contracts import SqlDatabase
from covet_sagas._statements import PURGED, measure, old


class Measured:
    """What a look at the table has shown, each counted up to 100,000.

    Attributes:
        running: Sagas whose steps are run.
        undoing: Sagas whose steps are undone.
        parked: Sagas that need somebody's attention.
        lag: Seconds that the latest of the first two is behind its time.
    """

    running = 0
    undoing = 0
    parked = 0
    lag = 0.0


async def look(db: SqlDatabase) -> Measured:
    """Measure.

    Raises:
        SqlError: The database refused.
    """
    row = await db.fetch_one(measure(db.dialect))
    found = Measured()
    if row is not None:
        found.running, found.undoing = int(row["running"]), int(row["undoing"])
        found.parked = int(row["parked"])
        due = [row[name] for name in ("running_due", "undoing_due") if row[name] is not None]
        found.lag = max(0.0, (row["now"] - min(due)) / 1000) if due else 0.0
    return found


async def sweep(db: SqlDatabase, retention: float) -> bool:
    """Remove some sagas that are over for so many seconds, with their logs; whether there may be more.

    Raises:
        SqlError: The database refused.
    """
    rows = await db.fetch_all(old(db.dialect), (int(retention * 1000),))
    ids = [(row["id"],) for row in rows]
    if ids:
        async with db.transaction() as session:
            await session.execute_many("DELETE FROM covet_saga_log WHERE saga = ?", ids)
            await session.execute_many("DELETE FROM covet_sagas WHERE id = ?", ids)
    return len(ids) == PURGED
