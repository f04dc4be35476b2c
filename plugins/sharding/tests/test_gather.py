"""Queries over all shards: their order, their limits, and shards that fail."""

from __future__ import annotations

from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_sharding import GatherError, GatherLimitError
from covet_sharding._gather import comparison

INSERT = "INSERT INTO orders (id, customer, copies) VALUES (?, ?, ?)"
NEWEST = "SELECT id, customer FROM orders ORDER BY id DESC"


async def fill(shards, count: int = 40) -> None:
    for key in range(count):
        await shards.of(key).execute(INSERT, (key, key, key % 3))


async def test_rows_of_all_shards_come_in_one_order(cluster) -> None:
    async with cluster.with_tables() as shards:
        await fill(shards)
        found = await shards.gather(NEWEST, order_by=["-id"], limit=7)
        assert [row["id"] for row in found.rows] == list(range(39, 32, -1))
        assert found.failed == {}
        found = await shards.gather(
            "SELECT id, copies FROM orders WHERE id < :top ORDER BY copies, id DESC",
            {"top": 12},
            order_by=["copies", "-id"],
        )
        expected = sorted(range(12), key=lambda number: (number % 3, -number))
        assert [row["id"] for row in found.rows] == expected
        counts = await shards.gather("SELECT count(*) AS n FROM orders")
        assert sum(row["n"] for row in counts.rows) == 40
        some = await shards.gather("SELECT id FROM orders", limit=3)
        assert len(some.rows) == 3
        only = await shards.gather("SELECT id FROM orders", shards=["b"])
        assert {await shards.where(row["id"]) for row in only.rows} == {"b"}
        with pytest.raises(ValueError, match="no such shards"):
            await shards.gather(NEWEST, shards=["c"])


async def test_more_rows_than_may_be_held_are_refused(files) -> None:
    async with files.with_tables(gather_rows=30) as shards:
        await fill(shards)
        with pytest.raises(GatherLimitError, match="more than 30 rows"):
            await shards.gather(NEWEST)
        with pytest.raises(GatherLimitError, match="more than 5 rows"):
            await shards.gather(NEWEST, max_rows=5)
        with pytest.raises(GatherLimitError, match="more than 30 rows"):
            await shards.gather(NEWEST, max_rows=1000, partial=True)
        assert len((await shards.gather(NEWEST, order_by=["-id"], limit=10)).rows) == 10


async def test_a_part_of_the_answer_is_given_when_it_is_asked_for(files) -> None:
    async with files.with_tables() as shards:
        await fill(shards)
        await shards.shard("b").execute("DROP TABLE orders")
        with pytest.raises(GatherError, match="shard 'b' did not answer") as caught:
            await shards.gather(NEWEST)
        assert caught.value.failed.keys() == {"b"}
        found = await shards.gather(NEWEST, partial=True)
        assert found.rows
        assert [*found.failed] == ["b"]
        assert isinstance(found.failed["b"], SqlError)


async def test_each_shard_has_its_time(files) -> None:
    slow = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)"
        " SELECT count(*) AS n FROM n"
    )
    async with files.with_tables(gather_timeout=0.05) as shards:
        with pytest.raises(GatherError, match=r"took longer than 0\.05 s"):
            await shards.gather(slow, timeout=100)
        found = await shards.gather(slow, partial=True)
        assert found.rows == []
        assert {*map(type, found.failed.values())} == {TimeoutError}


async def test_rows_that_move_count_where_the_map_says(cluster) -> None:
    async with cluster.with_tables() as shards:
        await fill(shards, 8)
        source = await shards.where(5)
        target = "b" if source == "a" else "a"
        # As in the middle of a move: its rows are on both shards.
        await shards.shard(target).execute(INSERT, (5, 5, 1))
        home = shards.map.home
        await home.execute(
            "INSERT INTO covet_shard_move (space, bucket, source, target, job, step, run, place, copied)"
            " VALUES ('sharding', ?, ?, ?, 'j', 'copying', 1, '', 0)",
            (shards.of(5).bucket, source, target),
        )
        await home.execute("UPDATE covet_shard_version SET version = version + 1")
        await shards.map.refresh()
        found = await shards.gather(NEWEST, key="customer", order_by=["-id"], limit=8)
        assert [row["id"] for row in found.rows] == list(range(7, -1, -1))
        with pytest.raises(GatherError, match="count twice"):
            await shards.gather("SELECT count(*) AS n FROM orders")
        counts = await shards.gather("SELECT count(*) AS n FROM orders", exact=False)
        assert sum(row["n"] for row in counts.rows) == 9
        with pytest.raises(GatherError, match="no column 'nobody'"):
            await shards.gather(NEWEST, key="nobody")


async def test_another_order_than_the_one_said_is_noticed(files) -> None:
    async with files.with_tables() as shards:
        await fill(shards)
        with pytest.raises(GatherError, match="not come in the order"):
            await shards.gather(NEWEST, order_by=["id"])


ROWS = st.lists(
    st.fixed_dictionaries(
        {"a": st.none() | st.integers(0, 3), "b": st.none() | st.text(max_size=2)}
    ),
    max_size=30,
)


@given(ROWS, st.sampled_from([["a"], ["-a"], ["a", "-b"], ["-b", "a"], []]), st.booleans())
def test_rows_compare_as_the_database_orders_them(rows, order_by, nulls_last) -> None:
    expected = list(rows)
    for name in reversed(order_by):
        column = name.removeprefix("-")
        kind = int if column == "a" else str
        expected.sort(
            key=lambda row: ((row[column] is None) == nulls_last, row[column] or kind()),
            reverse=name.startswith("-"),
        )
    got = sorted(rows, key=cmp_to_key(comparison(order_by, nulls_last=nulls_last)))
    assert [[row[n.removeprefix("-")] for n in order_by] for row in got] == [
        [row[n.removeprefix("-")] for n in order_by] for row in expected
    ]
