"""Messages that are set aside: looked at, tried again, and removed."""

from __future__ import annotations

from collections.abc import Sequence

from covet_kernel.contracts import Record, SqlDatabase
from covet_outbox._statements import DEAD, PURGED, READY, WAITING, padded, remove
from covet_sql.queue import milliseconds as now

LISTED = 50
"""Messages shown at most."""


class Trouble(Record):
    """A message that was refused.

    Attributes:
        age: Seconds since it was stored.
    """

    id: str
    topic: str
    key: str
    state: str
    attempts: int
    age: float
    error: str


NAMES = {WAITING: "waiting", DEAD: "dead"}


async def troubled(db: SqlDatabase, limit: int = LISTED) -> list[Trouble]:
    """The oldest messages that were refused, the dead ones first.

    Raises:
        SqlError: The database refused.
    """
    rows = await db.fetch_all(
        "SELECT id, topic, message_key, state, attempts, stored, error,"  # noqa: S608
        f" {now(db.dialect)} AS now FROM covet_outbox WHERE state IN ({WAITING}, {DEAD})"
        " ORDER BY state DESC, lane, position LIMIT ?",
        (limit,),
    )
    return [
        Trouble(
            id=row["id"],
            topic=row["topic"],
            key=row["message_key"] or "",
            state=NAMES[row["state"]],
            attempts=row["attempts"],
            age=max(0.0, (row["now"] - row["stored"]) / 1000),
            error=row["error"],
        )
        for row in rows
    ]


async def retry(db: SqlDatabase, ids: Sequence[str] = (), topic: str = "") -> int:
    """Have dead messages tried anew, and those at once that wait; how many there were.

    Args:
        db: The outbox's.
        ids: Of the messages; all of them if there are none.
        topic: Only those for this one, if it is named.

    Raises:
        SqlError: The database refused.
    """
    change = (
        f"UPDATE covet_outbox SET state = {READY}, attempts = 0, due = 0, failed = 0, error = ''"  # noqa: S608
        " WHERE position IN ({})"
    )
    count = 0
    while found := await _chosen(db, (WAITING, DEAD), ids, topic):
        marks, values = padded(found)
        count += await db.execute(change.format(marks), values)
        if len(found) < PURGED:
            break
    return count


async def purge(db: SqlDatabase, ids: Sequence[str] = (), topic: str = "") -> int:
    """Remove dead messages for good; how many there were. Those that wait stay.

    Args:
        db: The outbox's.
        ids: Of the messages; all that are dead if there are none.
        topic: Only those for this one, if it is named.

    Raises:
        SqlError: The database refused.
    """
    count = 0
    while found := await _chosen(db, (DEAD,), ids, topic):
        count += await db.execute(*remove(found))
        if len(found) < PURGED:
            break
    return count


async def _chosen(
    db: SqlDatabase, states: Sequence[int], ids: Sequence[str], topic: str
) -> list[int]:
    where, params = f"state IN ({', '.join(map(str, states))})", list(ids)
    if ids:
        where += f" AND id IN ({', '.join('?' * len(ids))})"
    if topic:
        where += " AND topic = ?"
        params.append(topic)
    rows = await db.fetch_all(
        f"SELECT position FROM covet_outbox WHERE {where} LIMIT {PURGED}",  # noqa: S608 - no values
        params,
    )
    return [row["position"] for row in rows]
