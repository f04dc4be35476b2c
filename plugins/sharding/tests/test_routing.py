"""Statements find the shard of their key, and nothing is written on two at once."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest

from covet_kernel import ConfigurationError, flatten
from covet_kernel.contracts import SqlError
from covet_sharding import (
    CrossShardError,
    ShardKeyError,
    ShardMovingError,
    ShardUnknownError,
)
from covet_sql import run_transaction

INSERT = "INSERT INTO orders (id, customer, copies) VALUES (?, ?, ?)"
COPIES = "SELECT copies FROM orders WHERE id = ?"
COUNT = "SELECT count(*) FROM orders"


async def apart(shards) -> tuple[int, int]:
    """A key of each shard."""
    found: dict[str, int] = {}
    key = 0
    while len(found) < 2:
        found.setdefault(await shards.where(key), key)
        key += 1
    return found["a"], found["b"]


async def close(shards, name: str, bucket: str, *, seconds: float) -> None:
    """Close a bucket as a move does at its end."""
    from covet_sharding._tables import NOW

    await shards.shard(name).execute(
        "UPDATE covet_shard_bucket SET state = 'closed',"
        f" closed_until = {NOW[shards.dialect]} + ? WHERE bucket = ?",
        (seconds, bucket),
    )


async def test_rows_are_where_their_key_belongs(cluster) -> None:
    async with cluster.with_tables() as shards:
        for key in range(24):
            assert await shards.of(key).execute(INSERT, (key, key, 1)) == 1
        assert sorted(shards.names) == ["a", "b"]
        counts = [await shards.shard(name).fetch_value(COUNT) for name in shards.names]
        assert sum(counts) == 24
        assert all(counts)
        for key in range(24):
            mine = shards.of(str(key))
            assert await mine.fetch_value(COPIES, (key,)) == 1
            assert await mine.fetch_one(COPIES, (key,)) == {"copies": 1}
            assert await mine.fetch_all(COPIES, (key,)) == [{"copies": 1}]
            other = "b" if await shards.where(key) == "a" else "a"
            assert await shards.shard(other).fetch_value(COPIES, (key,)) is None
        one = shards.of(3)
        assert await one.execute_many("UPDATE orders SET copies = ? WHERE id = ?", [(5, 3)]) == 1
        async with aclosing(one.stream(COPIES, (3,))) as rows:
            assert [row async for row in rows] == [{"copies": 5}]


async def test_a_transaction_is_a_whole(cluster) -> None:
    async with cluster.with_tables() as shards:
        one = shards.of(1)
        async with one.transaction() as session:
            await session.execute(INSERT, (1, 1, 1))
        with pytest.raises(ZeroDivisionError):
            async with one.transaction() as session:
                await session.execute(INSERT, (2, 1, 1))
                raise ZeroDivisionError
        with anyio.CancelScope() as scope:
            async with one.transaction() as session:
                await session.execute(INSERT, (3, 1, 1))
                scope.cancel()
                await anyio.sleep_forever()
        async with one.transaction(read_only=True, isolation="repeatable read") as session:
            assert await session.fetch_value(COUNT) == 1


async def test_one_task_writes_to_one_shard_at_a_time(files) -> None:
    async with files.with_tables() as shards:
        here, there = await apart(shards)
        async with shards.of(here).transaction() as session:
            await session.execute(INSERT, (1, here, 1))
            with pytest.raises(CrossShardError, match=r"shard 'a' is open.*shard 'b'"):
                await shards.of(there).execute(INSERT, (2, there, 1))
            with pytest.raises(CrossShardError):
                # What may change something counts as a write.
                await shards.of(there).fetch_value("DELETE FROM orders RETURNING id")
            assert await shards.of(there).fetch_value(COUNT) == 0
        await shards.of(there).execute(INSERT, (2, there, 1))

        async def another(key: int) -> None:
            async with shards.of(key).transaction() as session:
                await session.execute(INSERT, (10 + key, key, 1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(another, here)
            tasks.start_soon(another, there)
        assert await shards.of(here).fetch_value(COUNT) == 2


async def test_without_a_key_nothing_is_written(files) -> None:
    async with files.with_tables() as shards:
        with pytest.raises(ShardKeyError, match="the call has no key"):
            shards.of_call()
        with pytest.raises(ShardKeyError):
            shards.of(None)
        with shards.using(7) as database:
            assert shards.of_call().bucket == database.bucket
        with pytest.raises(ShardKeyError):
            shards.of_call()
        with pytest.raises(ShardKeyError, match="only keys of a directory"):
            await shards.assign(7)


async def test_writes_wait_while_a_bucket_is_closed_and_reads_do_not(cluster) -> None:
    async with cluster.with_tables() as shards:
        mine = shards.of(5)
        name = await shards.where(5)
        await mine.execute(INSERT, (5, 5, 1))
        await close(shards, name, mine.bucket, seconds=3600)
        done = anyio.Event()

        async def write() -> None:
            await mine.execute("UPDATE orders SET copies = 2 WHERE id = 5")
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            assert await mine.fetch_value(COPIES, (5,)) == 1
            async with mine.transaction(read_only=True) as session:
                assert await session.fetch_value(COPIES, (5,)) == 1
            assert not done.is_set()
            await shards.shard(name).execute("UPDATE covet_shard_bucket SET state = 'owned'")
        assert await mine.fetch_value(COPIES, (5,)) == 2


async def test_a_bucket_that_stays_closed_is_an_error_in_time(files) -> None:
    async with files.with_tables(write_wait=0.05) as shards:
        mine = shards.of(5)
        await mine.execute(INSERT, (5, 5, 1))
        await close(shards, await shards.where(5), mine.bucket, seconds=3600)
        with pytest.raises(ShardMovingError, match=r"closed for 0\.05 s"):
            await mine.execute("UPDATE orders SET copies = 2 WHERE id = 5")
        assert await mine.fetch_value(COPIES, (5,)) == 1


async def test_a_bucket_whose_move_was_given_up_is_opened_by_the_next_write(cluster) -> None:
    async with cluster.with_tables() as shards:
        mine = shards.of(5)
        await mine.execute(INSERT, (5, 5, 1))
        await close(shards, await shards.where(5), mine.bucket, seconds=-1)
        await mine.execute("UPDATE orders SET copies = 2 WHERE id = 5")
        assert await mine.fetch_value(COPIES, (5,)) == 2


async def test_who_has_an_old_map_learns_of_the_new_one_from_the_shard(cluster) -> None:
    async with cluster.with_tables(refresh=3600) as shards:
        mine = shards.of(5)
        old = await shards.where(5)
        new = "b" if old == "a" else "a"
        await mine.execute(INSERT, (5, 5, 1))
        # As at the end of a move; this process is told nothing.
        await shards.shard(new).execute(INSERT, (5, 5, 7))
        await shards.shard(old).execute(
            "UPDATE covet_shard_bucket SET state = 'gone', successor = ?, run = 9", (new,)
        )
        await shards.shard(new).execute(
            "INSERT INTO covet_shard_bucket VALUES ('sharding', ?, 'arriving', 9, '', 0)",
            (mine.bucket,),
        )
        async with mine.transaction(read_only=True) as session:
            assert await session.fetch_value(COPIES, (5,)) == 7
        await mine.execute("UPDATE orders SET copies = copies + 1 WHERE id = 5")
        assert await shards.where(5) == new
        assert await shards.shard(new).fetch_value(COPIES, (5,)) == 8
        assert await shards.shard(old).fetch_value(COPIES, (5,)) == 1
        assert shards.map.version == 2


async def test_a_map_that_is_too_old_is_not_gone_by(files) -> None:
    async with files.with_tables(refresh=3600, map_lifetime=0.000001) as shards:
        mine = shards.of(5)
        old = await shards.where(5)
        new = "b" if old == "a" else "a"
        await mine.execute(INSERT, (5, 5, 1))
        await shards.shard(new).execute(INSERT, (5, 5, 7))
        await shards.shard(old).execute(
            "UPDATE covet_shard_bucket SET state = 'gone', successor = ?, run = 9", (new,)
        )
        await shards.shard(new).execute(
            "INSERT INTO covet_shard_bucket VALUES ('sharding', ?, 'owned', 9, '', 0)",
            (mine.bucket,),
        )
        assert await mine.fetch_value(COPIES, (5,)) == 7


async def test_a_directory_has_an_entry_for_each_key(cluster) -> None:
    async with cluster.with_tables(strategy="directory", directory_cache=2) as shards:
        with pytest.raises(ShardUnknownError, match="no shard is known"):
            await shards.of("acme").execute(INSERT, (1, 1, 1))
        assert await shards.assign("acme", "b") == "b"
        assert await shards.assign("acme", "a") == "b"
        assert await shards.assign("emca") == "a"
        assert {await shards.assign(f"k{n}") for n in range(4)} == {"a", "b"}
        with pytest.raises(ValueError, match="'c' is none"):
            await shards.assign("x", "c")
        await shards.of("acme").execute(INSERT, (1, 1, 1))
        assert await shards.shard("b").fetch_value(COUNT) == 1
        with pytest.raises(ShardUnknownError):
            await shards.where("ACME")
        assert len(shards.map._remembered) == 2


async def test_ranges_are_on_the_shards_that_are_named(files) -> None:
    ranges = [{"end": 10, "shard": "b"}, {"start": 10, "shard": "a"}]
    async with files.with_tables(strategy="range", ranges=ranges) as shards:
        assert [await shards.where(key) for key in (-5, 9, 10, 99)] == ["b", "b", "a", "a"]
        await shards.of(9).execute(INSERT, (1, 9, 1))
        assert await shards.shard("b").fetch_value(COUNT) == 1


async def test_many_tasks_write_to_a_bucket_for_the_first_time(cluster) -> None:
    async with cluster.with_tables() as shards:

        async def write(number: int) -> None:
            await shards.of(5).execute(INSERT, (number, 5, 1))

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(write, number)
        assert await shards.of(5).fetch_value(COUNT) == 12


async def start_fails(cluster, **config) -> list[str]:
    with pytest.raises(BaseException) as caught:
        async with cluster(**config):
            raise AssertionError("it has started")
    return [f"{each.code}: {each}" for each in flatten(caught.value)]


async def test_the_map_is_for_one_configuration(files) -> None:
    async with files() as shards:
        assert shards.map.version == 1
    async with files() as shards:
        assert shards.map.version == 1
    [problem] = await start_fails(files, buckets=32)
    assert "COVET-SHARD-MAP" in problem
    assert "'hash 16'" in problem
    [problem] = await start_fails(files, shards=["a"])
    assert "buckets on b, which is not configured" in problem


async def test_shards_are_of_one_kind(files, postgres_urls) -> None:
    from covet_kernel.testing import run_kernel
    from covet_operations import Operations
    from covet_postgres import Postgres
    from covet_sharding import Sharding
    from covet_sqlite import Sqlite

    tables = {
        "sqlite/a": {"path": "a.db"},
        "postgres/b": {"url": postgres_urls["b"]},
        "sharding": {"shards": ["a", "b"], "home": "a"},
    }
    classes = {
        "sqlite": Sqlite,
        "postgres": Postgres,
        "sharding": Sharding,
        "operations": Operations,
    }
    with pytest.raises(BaseException) as caught:
        async with run_kernel(classes, tables, directory=files.folder):
            pass
    [error] = flatten(caught.value)
    assert isinstance(error, ConfigurationError)
    assert "postgresql, sqlite" in str(error)


async def test_errors_of_a_shard_are_its_own(files) -> None:
    async with files.with_tables() as shards:
        with pytest.raises(SqlError):
            await shards.of(5).fetch_all("SELECT nonsense FROM orders")
        await shards.of(5).execute(INSERT, (5, 5, 1))
        with pytest.raises(SqlError):
            await shards.of(5).execute(INSERT, (5, 5, 1))
        assert await shards.of(5).fetch_value(COPIES, (5,)) == 1


async def test_a_change_that_meets_a_trigger_that_went_is_a_conflict(files) -> None:
    """MariaDB says so of the notes' table; whoever runs the transaction again finds it well."""
    turns = 0
    async with files.with_tables() as shards:

        async def change(session) -> int:
            nonlocal turns
            turns += 1
            if turns == 1:
                raise SqlError("Table 'x.covet_shard_change' doesn't exist", sqlstate="42S02")
            return await session.execute("UPDATE orders SET copies = copies")

        await run_transaction(shards.of(1), change)
        assert turns == 2
        with pytest.raises(SqlError) as caught:
            async with shards.of(1).transaction():
                raise SqlError("Table 'x.orders' doesn't exist", sqlstate="42S02")
        assert caught.value.sqlstate == "42S02"
