"""What a shard itself says of a bucket: looked at in each write's own transaction.

A map may be out of date in a process that was asleep; this cannot be. A write holds the bucket's row
shared until it commits, and whoever closes the bucket changes that row: so no write is under way when
a bucket has been closed, and none begins.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from covet_kernel.contracts import Row, SqlDatabase, SqlSession
from covet_sharding._tables import NOW, insert_new

State: TypeAlias = Literal["", "owned", "closed", "gone", "arriving"]
"""``""``: the shard has never heard of it; ``closed``: a move is about to end; ``gone``: it has left;
``arriving``: it is not all there yet."""

TABLE = "covet_shard_bucket"
LOOK = "SELECT b.state, b.run, b.successor FROM covet_shard_bucket b WHERE b.space = ? AND b.bucket = ?"
LOCK = {
    "sqlite": "",  # a writer is alone
    "mysql": " LOCK IN SHARE MODE",
    # Those who lock a row shared do not wait for one who wants it alone: they are told, and stand back.
    "postgresql": " AND NOT EXISTS (SELECT 1 FROM covet_shard_closing c WHERE c.space = b.space"
    " AND c.bucket = b.bucket AND c.until > {now}) FOR SHARE OF b",
}
CLOSING = "SELECT 1 FROM covet_shard_closing WHERE space = ? AND bucket = ? AND until > {now}"


class Ownership:
    """The question, as one dialect has it."""

    def __init__(self, space: str, dialect: str) -> None:
        now = NOW[dialect]
        self._space = space
        self._dialect = dialect
        self._read = LOOK
        self._lock = self._read + LOCK[dialect].format(now=now)
        self._closing = CLOSING.format(now=now)
        self._install = insert_new(
            dialect, TABLE, ("space", "bucket", "state", "run", "successor", "closed_until")
        )

    async def look(self, session: SqlSession, bucket: str, *, read_only: bool) -> State:
        """What the shard says; for a write, as long as the session's transaction lasts."""
        text = self._read if read_only else self._lock
        row = await session.fetch_one(text, (self._space, bucket))
        if row is None:
            if not read_only and self._dialect == "postgresql":
                closing = await session.fetch_value(self._closing, (self._space, bucket))
                return "closed" if closing else ""
            return ""
        state: State = row["state"]
        return state

    async def full(self, session: SqlSession, bucket: str) -> Row | None:
        """The whole row, as it is at this moment: ``state``, ``run`` and ``successor``."""
        return await session.fetch_one(self._read, (self._space, bucket))

    async def install(self, database: SqlDatabase, bucket: str) -> None:
        """Have the shard know a bucket that it has had from the start."""
        await database.execute(self._install, (self._space, bucket, "owned", 0, "", 0.0))

    async def reopen(self, database: SqlDatabase, bucket: str) -> bool:
        """Open a bucket that was closed for longer than was announced; whether it was.

        Whoever had closed it can then no longer end the move: that takes the bucket's being closed.
        """
        now = NOW[self._dialect]
        text = (
            "UPDATE covet_shard_bucket SET state = 'owned'"  # noqa: S608
            f" WHERE space = ? AND bucket = ? AND state = 'closed' AND closed_until < {now}"
        )
        return await database.execute(text, (self._space, bucket)) > 0
