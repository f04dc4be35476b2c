"""Buckets move while they are written to: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import anyio
import pytest

from covet_kernel import ConfigurationError
from covet_kernel.contracts import SqlError
from covet_sharding._job import Jobs, StaleMoverError
from covet_sharding._mover import Mover
from covet_sql import run_transaction

pytestmark = pytest.mark.once

INSERT = "INSERT INTO orders (id, customer, copies) VALUES (?, ?, ?)"
PART = "INSERT INTO parts (shelf, number, customer, note) VALUES (?, ?, ?, ?)"
TIMES = {"map_lifetime": 0.05, "refresh": 0.02, "write_wait": 20}


class Killed(BaseException):
    """The process of a mover is no more."""


class Writers:
    """Customers who order, change and cancel; what was acknowledged is kept here.

    Attributes:
        kept: Copies by the order's id.
        doubtful: Ids of which no answer came.
    """

    def __init__(self, shards, first: int = 1000) -> None:
        self.shards = shards
        self.kept: dict[int, int] = {}
        self.doubtful: set[int] = set()
        self.done = 0
        self._next = first

    async def fill(self, customers: int, each: int = 3) -> None:
        for customer in range(customers):
            async with self.shards.of(customer).transaction() as session:
                for _ in range(each):
                    self._next += 1
                    await session.execute(INSERT, (self._next, customer, 1))
                    await session.execute(PART, ("x", self._next, customer, "é"))
                    self.kept[self._next] = 1

    async def write(self, customer: int) -> None:
        """Order, change that order, and cancel another, again and again."""
        database = self.shards.of(customer)
        mine: list[int] = []
        while True:
            self._next += 1
            mine.append(self._next)
            await self._order(database, customer, self._next)
            if len(mine) > 3:
                await self._cancel(database, mine.pop(0))
            self.done += 1
            await anyio.sleep(0.005)

    async def _order(self, database, customer: int, order: int) -> None:
        async def add(session) -> None:
            await session.execute(INSERT, (order, customer, 1))
            await session.execute(PART, ("x", order, customer, None))

        self.doubtful.add(order)
        await run_transaction(database, add)
        self.kept[order] = 1
        change = "UPDATE orders SET copies = copies + 1 WHERE id = ?"
        await run_transaction(database, lambda session: session.execute(change, (order,)))
        self.kept[order] += 1
        self.doubtful.discard(order)

    async def _cancel(self, database, order: int) -> None:
        async def remove(session) -> None:
            await session.execute("DELETE FROM parts WHERE shelf = 'x' AND number = ?", (order,))
            await session.execute("DELETE FROM orders WHERE id = ?", (order,))

        self.doubtful.add(order)
        await run_transaction(database, remove)
        del self.kept[order]
        self.doubtful.discard(order)

    async def check(self) -> None:
        """All of it is there, once, and where it belongs."""
        found: dict[int, int] = {}
        for name in self.shards.names:
            shard = self.shards.shard(name)
            for row in await shard.fetch_all("SELECT id, customer, copies FROM orders"):
                assert await self.shards.where(row["customer"]) == name, "a row was left behind"
                assert row["id"] not in found, "a row is there twice"
                found[row["id"]] = row["copies"]
            numbers = await shard.fetch_all("SELECT number, customer FROM parts")
            for row in numbers:
                assert await self.shards.where(row["customer"]) == name
                assert row["number"] in found
        sure = {order: copies for order, copies in self.kept.items() if order not in self.doubtful}
        assert {key: value for key, value in found.items() if key not in self.doubtful} == sure


def mover(cluster, shards, *, closed_for: float = 0.3, **options) -> Mover:
    made = Mover(shards, config_of(cluster), **options)
    made._closed_for = closed_for
    return made


def config_of(cluster):
    from covet_sharding import ShardingConfig

    return ShardingConfig.model_validate(cluster.config(**TIMES)["sharding"])


async def nothing_is_left(shards) -> None:
    """No trigger notes changes any more, and no move is under way."""
    assert await Jobs(shards.map).all() == []
    assert shards.map.moving == {}
    for name in shards.names:
        shard = shards.shard(name)
        await shard.execute("UPDATE orders SET copies = copies")
        for table in ("covet_shard_change", "covet_shard_closing"):
            assert await shard.fetch_value(f"SELECT count(*) FROM {table}") == 0


async def test_a_bucket_moves_while_it_is_written_to(cluster) -> None:
    async with cluster.with_tables(**TIMES) as shards, cluster(**TIMES) as elsewhere:
        writers = Writers(shards)
        others = Writers(elsewhere, first=1_000_000)
        await writers.fill(30)
        bucket, source = shards.of(5).bucket, await shards.where(5)
        target = "b" if source == "a" else "a"
        lines: list[str] = []
        async with anyio.create_task_group() as tasks:
            for customer in (5, 6):
                tasks.start_soon(writers.write, customer)
                tasks.start_soon(others.write, customer)
            copied = await mover(cluster, elsewhere, report=lines.append).move([bucket], target)
            before = writers.done, others.done
            while (writers.done, others.done) < (before[0] + 2, before[1] + 2):
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        assert copied >= 6
        assert f"1/1 bucket {bucket} is on {target}" in lines
        await shards.map.refresh()
        assert await shards.where(5) == target
        writers.kept |= others.kept
        writers.doubtful |= others.doubtful
        await writers.check()
        await nothing_is_left(shards)


async def test_several_buckets_move_and_come_back(files) -> None:
    async with files.with_tables(**TIMES) as shards:
        writers = Writers(shards)
        await writers.fill(60)
        mine = [name for name, place in shards.map.buckets.items() if place.shard == "a"]
        await mover(files, shards).move(mine, "b")
        assert await shards.shard("a").fetch_value("SELECT count(*) FROM orders") == 0
        await writers.check()
        await mover(files, shards).move(mine, "a")
        await writers.check()
        assert {shards.map.buckets[name] for name in mine} == {("a", 3)}
        await nothing_is_left(shards)


async def killed_at(number: int, files, writers: Writers) -> bool:
    """Move with a kill after that many steps, write meanwhile, go on, and look; whether it came to it."""
    shards, left, killed = writers.shards, number, False

    async def step(name: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed(name)

    source = await shards.where(5)
    target = "b" if source == "a" else "a"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writers.write, 5)
        try:
            await mover(files, shards, step=step).move([shards.of(5).bucket], target)
        except Killed:
            killed = True
        # Whatever it was killed at, writes go on without anybody's doing anything.
        before = writers.done
        while writers.done < before + 3:
            await anyio.sleep(0.01)
        if killed:
            [job] = await Jobs(shards.map).all()
            await mover(files, shards).resume(job.id)
        tasks.cancel_scope.cancel()
    assert await shards.where(5) == target
    await writers.check()
    await nothing_is_left(shards)
    return killed


async def test_a_mover_that_is_killed_at_any_step_can_be_gone_on_with(
    files, anyio_backend_name
) -> None:
    # Every other step on each loop: together they are all.
    number = int(anyio_backend_name == "trio")
    async with files.with_tables(**TIMES) as shards:
        writers = Writers(shards)
        await writers.fill(12)
        while await killed_at(number, files, writers):
            number += 2
    assert number > 15


@pytest.mark.parametrize("table", ["orders", "parts"])
async def test_a_copy_goes_on_where_it_was(files, monkeypatch, table) -> None:
    monkeypatch.setattr("covet_sharding._mover.BATCH", 5)
    seen: list[str] = []

    async def step(name: str) -> None:
        seen.append(name)
        if seen.count(f"copied rows of {table}") == 3:
            raise Killed

    async with files.with_tables(**TIMES) as shards:
        writers = Writers(shards)
        await writers.fill(4, each=12)
        mine = [name for name, place in shards.map.buckets.items() if place.shard == "a"]
        with pytest.raises(Killed):
            await mover(files, shards, step=step).move(mine, "b")
        [job] = await Jobs(shards.map).all()
        again: list[str] = []

        async def note(name: str) -> None:
            again.append(name)

        await mover(files, shards, step=note).resume(job.id)
        await writers.check()
        await nothing_is_left(shards)
        assert ("copied rows of orders" in again) == (table == "orders")


async def test_of_two_who_move_the_same_one_gives_up(files) -> None:
    async with files.with_tables(**TIMES) as shards:
        writers = Writers(shards)
        await writers.fill(20)
        target = "b" if await shards.where(5) == "a" else "a"
        asleep, awake = anyio.Event(), anyio.Event()
        given_up: list[StaleMoverError] = []

        async def sleep(step: str) -> None:
            if step == "captured":
                asleep.set()
                await awake.wait()

        async def first() -> None:
            with pytest.raises(StaleMoverError) as caught:
                await mover(files, shards, step=sleep).move([shards.of(5).bucket], target)
            given_up.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            await asleep.wait()
            [job] = await Jobs(shards.map).all()
            await mover(files, shards).resume(job.id)
            awake.set()
        assert given_up
        await writers.check()
        await nothing_is_left(shards)


async def test_a_bucket_whose_writers_take_their_time_is_closed_when_they_are_done(
    cluster,
) -> None:
    async with cluster.with_tables(**TIMES) as shards:
        await Writers(shards).fill(10)
        target = "b" if await shards.where(5) == "a" else "a"
        closing, done = anyio.Event(), anyio.Event()

        async def step(name: str) -> None:
            if name == "captured":
                closing.set()
                await done.wait()

        async def slow() -> None:
            await closing.wait()
            async with shards.of(5).transaction() as session:
                await session.execute(INSERT, (1, 5, 9))
                done.set()
                # The mover gives up closing the bucket at least once meanwhile.
                await anyio.sleep(0.5)

        own = mover(cluster, shards, step=step, closed_for=0.2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow)
            await own.move([shards.of(5).bucket], target)
        assert await shards.shard(target).fetch_value("SELECT copies FROM orders WHERE id = 1") == 9
        await nothing_is_left(shards)


async def test_a_key_of_a_directory_moves(files) -> None:
    config = {**TIMES, "strategy": "directory"}
    async with files.with_tables(**config) as shards, files(**config) as elsewhere:
        for customer in (5, 6):
            await shards.assign(customer, "a")
            await elsewhere.of(customer).execute(INSERT, (customer, customer, 1))
        await mover(files, shards).move(["5"], "b")
        assert [await shards.where(each) for each in (5, 6)] == ["b", "a"]
        await elsewhere.of(5).execute("UPDATE orders SET copies = 2 WHERE id = 5")
        assert await shards.shard("b").fetch_all("SELECT id, copies FROM orders") == [
            {"id": 5, "copies": 2}
        ]


async def test_a_range_moves(files) -> None:
    ranges = [
        {"end": 10, "shard": "a"},
        {"start": 10, "end": 20, "shard": "a"},
        {"start": 20, "shard": "b"},
    ]
    async with files.with_tables(**TIMES, strategy="range", ranges=ranges) as shards:
        for customer in (9, 10, 19, 20):
            await shards.of(customer).execute(INSERT, (customer, customer, 1))
        await mover(files, shards).move(["1"], "b")
        rows = await shards.shard("b").fetch_all("SELECT id FROM orders ORDER BY id")
        assert [row["id"] for row in rows] == [10, 19, 20]


async def test_what_cannot_be_moved(files) -> None:
    async with files.with_tables(**TIMES) as shards:
        one, two = shards.of(5).bucket, shards.of(5).bucket
        here = await shards.where(5)
        there = "b" if here == "a" else "a"
        own = mover(files, shards)
        for buckets, target, problem in (
            ([one], here, "already"),
            ([one], "c", "no shard 'c'"),
            ([*shards.map.buckets], there, "on 2 shards"),
        ):
            with pytest.raises(ConfigurationError, match=problem):
                await own.move(buckets, target)
        await Jobs(shards.map).announce([two], there)
        with pytest.raises(ConfigurationError, match="being moved from"):
            await own.move([one], there)


async def test_a_primary_key_that_cannot_be_noted_down_is_refused(files) -> None:
    async with files.with_tables(**TIMES) as shards:
        shard = shards.shard(await shards.where(5))
        await shard.execute("DROP TABLE orders")
        await shard.execute(
            "CREATE TABLE orders (id REAL PRIMARY KEY, customer INTEGER, copies INTEGER)"
        )
        await shards.of(5).execute(INSERT, (1.5, 5, 1))
        target = "b" if await shards.where(5) == "a" else "a"
        with pytest.raises(ConfigurationError, match="type float"):
            await mover(files, shards).move([shards.of(5).bucket], target)


async def test_a_table_is_not_emptied_while_its_rows_move(cluster_of) -> None:
    cluster = cluster_of("postgres")
    async with cluster.with_tables(**TIMES) as shards:
        await Writers(shards).fill(5)
        source = await shards.where(5)

        async def step(name: str) -> None:
            if name == "captured":
                with pytest.raises(SqlError, match="are being moved"):
                    await shards.shard(source).execute("TRUNCATE orders")

        await mover(cluster, shards, step=step).move(
            [shards.of(5).bucket], "b" if source == "a" else "a"
        )
