"""Moves buckets to another shard while they are written to.

Each step can be repeated, and is noted down in the home database when it is done: whoever goes on with a
move, after a kill at any point, begins with the step that was not. One statement decides: the source says
that a bucket is gone. Before it a move can be given up, behind it only completed.

Two who move the same do no harm: every change to a shard is made in a transaction that looks whether the
shard still knows this attempt.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import TypeVar

import anyio

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Row, SqlConflictError, SqlDatabase, SqlSession
from covet_sharding._capture import Change, begin_capture, changes, end_capture, forget, newest
from covet_sharding._config import ShardingConfig
from covet_sharding._job import Job, Jobs, StaleMoverError
from covet_sharding._map import Placement
from covet_sharding._primary import on_primary
from covet_sharding._rows import Place, Rows
from covet_sharding._shards import Shards
from covet_sharding._switch import complete
from covet_sharding._tables import NOW, insert_new
from covet_sql import run_transaction

T = TypeVar("T")

BATCH = 500
"""Rows, or notes of changes, that are seen to at once."""
ROUNDS = 20
"""How often notes are seen to before a bucket is closed, however many there are left."""
MARGIN = 1.2
"""By what clocks of different processes may differ, and then some."""
CLOSINGS = 20
"""How often it is tried to close a bucket whose writers take their time."""

KNOWN = "SELECT state, run, successor FROM covet_shard_bucket WHERE space = ? AND bucket = ?"
MINE = "SELECT bucket FROM covet_shard_bucket WHERE space = ? AND run = ? AND state = ?"
SHARED = {"sqlite": "", "postgresql": " FOR SHARE", "mysql": " LOCK IN SHARE MODE"}


async def _nothing(step: str) -> None:
    pass


class Mover:
    """One attempt at a move.

    Args:
        shards: The sharded database.
        config: Its tables, and its times.
        report: Is told how far it is, a line at a time.
        step: Is called between any two steps; what it raises ends the attempt there.
    """

    def __init__(
        self,
        shards: Shards,
        config: ShardingConfig,
        *,
        report: Callable[[str], None] = lambda line: None,
        step: Callable[[str], Awaitable[None]] = _nothing,
    ) -> None:
        self._map = shards.map
        self._shards = shards
        self._config = config
        self._report = report
        self._step = step
        self._jobs = Jobs(shards.map)
        self._tables = [Rows(each, shards.dialect) for each in config.tables]
        self._by_name = {each.table.name: each for each in self._tables}
        # What stays closed for so long is opened again by whoever waits for it.
        self._closed_for = min(2.0, config.write_wait / 2)
        self._job: Job
        self._run = 0
        self._source: SqlDatabase
        self._target: SqlDatabase

    async def move(self, buckets: Collection[str], target: str) -> int:
        """Move buckets of one shard to another; how many rows were copied.

        Raises:
            ConfigurationError: They cannot be moved; says why.
            StaleMoverError: Another process has taken over.
        """
        if not self._tables:
            raise ConfigurationError(
                "COVET-SHARD-MOVE",
                "no tables are named, and so nothing would be moved.",
                place="[plugins.sharding] tables",
                fix="Name the tables whose rows are spread, with their keys.",
            )
        if target not in self._shards.names:
            raise ConfigurationError(
                "COVET-SHARD-MOVE",
                f"there is no shard {target!r}.",
                valid=self._shards.names,
                given=target,
                fix="Name one that is configured.",
            )
        job = await self._jobs.announce(buckets, target)
        await self._step("announced")
        return await self.resume(job)

    async def resume(self, id: str) -> int:
        """Go on with a move that was begun, however far it had got; how many rows were copied."""
        self._run = await self._jobs.take(id)
        self._job = next(each for each in await self._jobs.all() if each.id == id)
        self._source = self._shards.shard(self._job.source)
        self._target = self._shards.shard(self._job.target)
        await self._step("taken")
        await self._map.refresh()
        for bucket in self._job.at("announced", "copying"):
            await self._claim(bucket)
        if self._job.at("announced"):
            await self._prepare()
        if staying := self._job.at("copying"):
            await begin_capture(self._source, self._tables, self._job.id)
            await self._step("captured")
            copied = await self._copy(staying)
            await self._catch_up()
            for number, bucket in enumerate(staying, 1):
                await self._switch(bucket)
                self._report(f"{number}/{len(staying)} bucket {bucket} is on {self._job.target}")
        else:
            copied = self._job.copied
        await self._clean()
        return copied

    # The shards' own word

    async def _claim(self, bucket: str) -> None:
        """Have both shards know this attempt, and none before it."""
        await self._mark(self._source, bucket, "owned")
        await self._step(f"claimed {bucket} at the source")
        async with self._source.transaction() as session:
            row = await session.fetch_one(KNOWN, (self._map.space, bucket))
        if row is not None and row["state"] == "gone":
            # The attempt before this one got as far as that.
            place = await self._map.find(bucket)
            await self._complete(bucket, place, row["run"])
            return
        await self._mark(self._target, bucket, "arriving")
        await self._step(f"claimed {bucket} at the target")

    async def _mark(self, database: SqlDatabase, bucket: str, state: str) -> None:
        key, run = (self._map.space, bucket), self._run
        install = insert_new(
            database.dialect,
            "covet_shard_bucket",
            ("space", "bucket", "state", "run", "successor", "closed_until"),
        )
        async with database.transaction() as session:
            await session.execute(install, (*key, state, run, "", 0.0))
        # At the source it stays what it is, also gone; at the target it is not a bucket's of this moment.
        change = "run = ?" if state == "owned" else "run = ?, state = 'arriving', successor = ''"
        keep = "state <> 'gone'" if state == "owned" else "1 = 1"
        async with database.transaction() as session:
            await session.execute(
                f"UPDATE covet_shard_bucket SET {change}"  # noqa: S608
                f" WHERE space = ? AND bucket = ? AND run < ? AND {keep}",
                (run, *key, run),
            )
            row = await session.fetch_one(KNOWN, key)
        if row is None or row["run"] > run:
            raise StaleMoverError

    async def _on(
        self,
        database: SqlDatabase,
        buckets: Collection[str],
        state: str,
        work: Callable[[SqlSession], Awaitable[T]],
    ) -> T:
        """Change a shard, in a transaction in which this attempt stays the one that may."""

        async def guarded(session: SqlSession) -> T:
            rows = await session.fetch_all(
                MINE + SHARED[database.dialect], (self._map.space, self._run, state)
            )
            if not {row["bucket"] for row in rows} >= set(buckets):
                raise StaleMoverError
            return await work(session)

        return await run_transaction(database, guarded)

    # Before anything is copied

    async def _prepare(self) -> None:
        """Wait until every process knows that rows may be on two shards, and clear what was left there."""
        buckets = self._job.at("announced")
        self._report("waiting until every process knows of it")
        await anyio.sleep(self._config.map_lifetime * MARGIN)
        await self._remove(self._target, buckets, "arriving")
        await self._step("cleared")
        await self._jobs.note(self._job, self._run, buckets, "copying")
        await self._step("copying")

    async def _remove(self, database: SqlDatabase, buckets: Collection[str], state: str) -> int:
        """Delete what a shard has of buckets, in batches."""
        gone = 0
        for rows in reversed(self._tables):
            place: Place | None = None
            more = True
            while more:
                async with on_primary(database) as session:
                    read = await rows.after(session, place, BATCH, *self._condition(rows, buckets))
                more = len(read) == BATCH
                if not read:
                    break
                place = rows.place(read[-1])
                found = [rows.place(row) for row in self._of(rows, read, buckets)]
                if found:
                    gone += await self._on(
                        database, buckets, state, partial(rows.remove, places=found)
                    )
                    await self._step(f"removed rows of {rows.table.name}")
        return gone

    # Copying

    async def _copy(self, buckets: Collection[str]) -> int:
        """Copy the rows there are, in batches, and between those what has changed meanwhile."""
        copied = self._job.copied
        begun, text = json.loads(self._job.place) if self._job.place else ("", "")
        names = [*self._by_name]
        for rows in self._tables[names.index(begun) if begun else 0 :]:
            place: Place | None = None
            async with on_primary(self._source) as session:
                # What comes behind it from now on is noted down: it need not be run after.
                last = await rows.last(session)
                if rows.table.name == begun and text:
                    place = next(iter(await rows.places_of([session], [text])), None)
            more = last is not None
            while more:
                async with on_primary(self._source) as session:
                    read = await rows.after(
                        session, place, BATCH, *self._condition(rows, buckets), last=last
                    )
                more = len(read) == BATCH
                if not read:
                    break
                place = rows.place(read[-1])
                mine = self._of(rows, read, buckets)
                if mine:
                    put = partial(rows.put, rows=mine)
                    await self._on(self._target, buckets, "arriving", put)
                    copied += len(mine)
                    await self._step(f"copied rows of {rows.table.name}")
                where = json.dumps([rows.table.name, rows.text_of(place)])
                await self._jobs.note_place(self._job, self._run, where, copied)
                self._report(f"{rows.table.name}: {copied} rows copied")
                await self._see_to(await changes(self._source, self._job.id, BATCH))
        return copied

    def _condition(self, rows: Rows, buckets: Collection[str]) -> tuple[str, tuple[int | str, ...]]:
        """What narrows a query down to rows that may be of these buckets."""
        if len(buckets) != 1:
            return "", ()
        [bucket] = buckets
        return self._map.strategy.narrowed(bucket, '"' + rows.table.key.replace('"', '""') + '"')

    def _of(self, rows: Rows, read: Iterable[Row], buckets: Collection[str]) -> list[Row]:
        bucket = self._map.strategy.bucket
        return [row for row in read if bucket(row[rows.table.key]) in buckets]

    # Catching up

    async def _catch_up(self) -> None:
        """See to what was changed, until no more is left than comes in at the time of a batch."""
        for _ in range(ROUNDS):
            noted = await changes(self._source, self._job.id, BATCH)
            await self._see_to(noted)
            if len(noted) < BATCH:
                return

    async def _see_to(self, noted: list[Change]) -> None:
        """Have the target have the rows of these notes as the source has them now."""
        if not noted:
            return
        staying = self._job.at("copying")
        bucket = self._map.strategy.bucket
        wanted: dict[str, dict[str, None]] = {}
        for each in noted:
            if each.table in self._by_name and each.key and bucket(each.key) in staying:
                wanted.setdefault(each.table, {})[each.place] = None
        if wanted:
            await self._bring(wanted, staying)
        await self._step("caught up")
        await forget(self._source, noted)

    async def _bring(self, wanted: dict[str, dict[str, None]], staying: Collection[str]) -> None:
        put: list[tuple[Rows, list[Row]]] = []
        gone: list[tuple[Rows, list[Place]]] = []
        for rows in self._tables:
            if texts := wanted.get(rows.table.name):
                async with on_primary(self._source) as here, on_primary(self._target) as there:
                    places = await rows.places_of([here, there], texts)
                    found = self._of(rows, await rows.at(here, places), staying)
                there_now = {rows.place(row) for row in found}
                put.append((rows, found))
                gone.append((rows, [each for each in places if each not in there_now]))

        async def bring(session: SqlSession) -> None:
            for rows, places in reversed(gone):
                await rows.remove(session, places)
            for rows, found in put:
                await rows.put(session, found)

        await self._on(self._target, staying, "arriving", bring)

    # Switching

    async def _switch(self, bucket: str) -> None:
        """Close a bucket, bring the rest, and have it be the target's."""
        place = await self._map.find(bucket)
        for _ in range(CLOSINGS):
            await self._catch_up()
            if not await self._close(bucket):
                continue
            await self._step(f"closed {bucket}")
            last = await newest(self._source, self._job.id)
            while noted := await changes(self._source, self._job.id, BATCH, last):
                await self._see_to(noted)
            await self._step(f"brought the rest of {bucket}")
            if await self._decide(bucket):
                await self._step(f"decided {bucket}")
                await self._complete(bucket, place, self._run)
                return
        raise ConfigurationError(
            "COVET-SHARD-MOVE",
            f"bucket {bucket!r} could not be closed: transactions that write to it take longer than"
            f" {self._closed_for:g} s, or change it faster than it is copied.",
            fix="Go on at a quieter time: covet shards resume.",
        )

    async def _close(self, bucket: str) -> bool:
        """Wait for the writes under way, and let none begin; whether it came to that in time."""
        key, now = (self._map.space, bucket), NOW[self._source.dialect]
        if self._source.dialect == "postgresql":
            await self._source.execute(
                "INSERT INTO covet_shard_closing (space, bucket, until)"  # noqa: S608
                f" VALUES (?, ?, {now} + ?) ON CONFLICT (space, bucket) DO UPDATE SET until = excluded.until",
                (*key, 2 * self._closed_for),
            )
        try:
            with anyio.fail_after(self._closed_for):
                changed = await self._source.execute(
                    f"UPDATE covet_shard_bucket SET state = 'closed', closed_until = {now} + ?"  # noqa: S608
                    " WHERE space = ? AND bucket = ? AND run = ? AND state IN ('owned', 'closed')",
                    (self._closed_for, *key, self._run),
                )
        except (TimeoutError, SqlConflictError):
            await self._open_again(bucket)
            await anyio.sleep(self._closed_for)
            return False
        if not changed:
            raise StaleMoverError
        return True

    async def _open_again(self, bucket: str) -> None:
        await self._source.execute(
            "DELETE FROM covet_shard_closing WHERE space = ? AND bucket = ?",
            (self._map.space, bucket),
        )

    async def _decide(self, bucket: str) -> bool:
        """The source says that the bucket is gone; ``False`` if it was opened meanwhile."""
        now = NOW[self._source.dialect]
        changed = await self._source.execute(
            "UPDATE covet_shard_bucket SET state = 'gone', successor = ?"  # noqa: S608
            f" WHERE space = ? AND bucket = ? AND run = ? AND state = 'closed' AND closed_until > {now}",
            (self._job.target, self._map.space, bucket, self._run),
        )
        if not changed:
            await self._open_again(bucket)
        return bool(changed)

    async def _complete(self, bucket: str, place: Placement, run: int) -> None:
        if place.shard == self._job.source:
            await complete(self._map, self._target, bucket, place, self._job.target, run)
        await self._step(f"completed {bucket}")
        await self._open_again(bucket)
        await self._jobs.note(self._job, self._run, [bucket], "moved")
        await self._step(f"noted {bucket}")

    # Cleaning up

    async def _clean(self) -> None:
        """Remove what is left at the source, when no process goes by a map any more that says so."""
        self._report("waiting until every process knows where they are")
        await anyio.sleep(self._config.map_lifetime * MARGIN)
        buckets = self._job.at("moved")
        for bucket in buckets:
            await self._mark_gone(bucket)
        gone = await self._remove(self._source, buckets, "gone")
        self._report(f"{gone} rows removed from {self._job.source}")
        await end_capture(self._source, self._tables, self._job.id)
        await self._step("cleaned")
        await self._jobs.end(self._job, self._run)

    async def _mark_gone(self, bucket: str) -> None:
        await self._source.execute(
            "UPDATE covet_shard_bucket SET run = ?"
            " WHERE space = ? AND bucket = ? AND run < ? AND state = 'gone'",
            (self._run, self._map.space, bucket, self._run),
        )
