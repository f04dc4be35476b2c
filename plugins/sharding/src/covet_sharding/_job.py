"""What is known of a move in the home database: which buckets, from where to where, how far it has got."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, TypeAlias

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlIntegrityError, SqlSession
from covet_sharding._map import RAISE, ShardMap
from covet_sharding._primary import on_primary
from covet_sql import uuid7

Step: TypeAlias = Literal["announced", "copying", "moved"]
"""``announced``: nothing was copied yet; ``copying``: to the shard it goes to; ``moved``: it is there, and
left-overs are where it was."""

ADD = (
    "INSERT INTO covet_shard_move (space, bucket, source, target, job, step, run, place, copied)"
    " VALUES (?, ?, ?, ?, ?, 'announced', 0, '', 0)"
)
ALL = (
    "SELECT job, source, target, bucket, step, run, place, copied FROM covet_shard_move"
    " WHERE space = ? ORDER BY job, bucket"
)


class StaleMoverError(Exception):
    """Another process goes on with this move, or it was given up: this one does nothing more."""

    def __init__(self) -> None:
        super().__init__("another process goes on with this move")


class Job(NamedTuple):
    """One move.

    Attributes:
        id: Its own.
        source: Where the buckets come from.
        target: Where they go.
        steps: How far each bucket has got.
        place: Where the copy has got to: a table and a primary key, as text.
        copied: Rows that were copied.
    """

    id: str
    source: str
    target: str
    steps: dict[str, Step]
    place: str
    copied: int

    def at(self, *steps: Step) -> list[str]:
        """The buckets that have got so far and no further."""
        return [bucket for bucket, step in self.steps.items() if step in steps]


class Jobs:
    """The moves of one map."""

    def __init__(self, map: ShardMap) -> None:
        self._map = map

    async def all(self) -> list[Job]:
        """Those that have not ended."""
        async with on_primary(self._map.home) as session:
            rows = await session.fetch_all(ALL, (self._map.space,))
        found: dict[str, Job] = {}
        for row in rows:
            job = found.setdefault(
                row["job"],
                Job(row["job"], row["source"], row["target"], {}, row["place"], row["copied"]),
            )
            job.steps[row["bucket"]] = row["step"]
        return list(found.values())

    async def announce(self, buckets: Collection[str], target: str) -> str:
        """Write down that buckets are to move, all of one shard; the move's id.

        Raises:
            ConfigurationError: They are on several shards, there already, or others move from there.
        """
        sources = {(await self._map.find(bucket)).shard for bucket in buckets}
        if len(sources) != 1:
            raise _refused(
                f"the buckets are on {len(sources)} shards", "Move those of one at a time."
            )
        [source] = sources
        if source == target:
            raise _refused(f"the buckets are on {target!r} already", "Name another shard.")
        if any(each.source == source for each in await self.all()):
            raise _refused(
                f"other buckets are being moved from {source!r}",
                "Wait for that move, or go on with it: covet shards resume.",
            )
        job = str(uuid7())
        try:
            async with self._map.home.transaction() as session:
                await session.execute_many(
                    ADD, [(self._map.space, each, source, target, job) for each in buckets]
                )
                await session.execute(RAISE, (self._map.space,))
        except SqlIntegrityError:
            raise _refused("one of the buckets is being moved", "Wait until it is there.") from None
        await self._map.refresh()
        return job

    async def take(self, job: str) -> int:
        """Become the one that goes on with a move; the number of this attempt, the highest so far."""
        async with self._map.home.transaction() as session:
            await session.execute(RAISE, (self._map.space,))
            run: int = await session.fetch_value(
                "SELECT version FROM covet_shard_version WHERE space = ?", (self._map.space,)
            )
            if not await session.execute(
                "UPDATE covet_shard_move SET run = ? WHERE space = ? AND job = ?",
                (run, self._map.space, job),
            ):
                raise StaleMoverError
        return run

    async def note(self, job: Job, run: int, buckets: Sequence[str], step: Step) -> None:
        """Write down how far buckets have got."""
        async with self._map.home.transaction() as session:
            await self._mine(session, job, run)
            await session.execute_many(
                "UPDATE covet_shard_move SET step = ? WHERE space = ? AND job = ? AND bucket = ?",
                [(step, self._map.space, job.id, each) for each in buckets],
            )
        job.steps.update(dict.fromkeys(buckets, step))

    async def note_place(self, job: Job, run: int, place: str, copied: int) -> None:
        """Write down where the copy has got to."""
        changed = await self._map.home.execute(
            "UPDATE covet_shard_move SET place = ?, copied = ? WHERE space = ? AND job = ? AND run = ?",
            (place, copied, self._map.space, job.id, run),
        )
        if not changed:
            raise StaleMoverError

    async def end(self, job: Job, run: int) -> None:
        """Write down that it is over: forget it."""
        async with self._map.home.transaction() as session:
            await self._mine(session, job, run)
            await session.execute(
                "DELETE FROM covet_shard_move WHERE space = ? AND job = ?",
                (self._map.space, job.id),
            )
            await session.execute(RAISE, (self._map.space,))
        await self._map.refresh()

    async def _mine(self, session: SqlSession, job: Job, run: int) -> None:
        lock = "" if session.dialect == "sqlite" else " FOR UPDATE"
        row = await session.fetch_one(
            f"SELECT run FROM covet_shard_move WHERE space = ? AND job = ?{lock}",  # noqa: S608
            (self._map.space, job.id),
        )
        if row is None or row["run"] != run:
            raise StaleMoverError


def _refused(problem: str, fix: str) -> ConfigurationError:
    return ConfigurationError("COVET-SHARD-MOVE", f"{problem}.", fix=fix)
