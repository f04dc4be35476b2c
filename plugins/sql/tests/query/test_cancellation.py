"""Whoever is cancelled, or stops early, or fails leaves the database as usable as before."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
import pytest

from covet_kernel.contracts import SqlError
from covet_sql import Column
from covet_sql import query as q


@dataclass
class Item:
    id: Annotated[int, Column(primary_key=True)]
    name: str


items = q.table(Item, "items")
ALL = q.select(items).order_by(items.c.id)
ROWS = [Item(n, f"name {n}") for n in range(1000)]


async def works(db: Any) -> None:
    """The next caller gets its own rows; with one connection, that also means that it is free."""
    assert await q.fetch_one(db, ALL.where(items.c.id == 7)) == ROWS[7]
    assert await q.fetch_value(db, q.count(q.select(items)), int) == len(ROWS)


async def test_a_stream_that_is_left_early_is_closed(open_db: Any) -> None:
    async with open_db(items) as db:
        await q.insert_many(db, items, iter(ROWS))
        async with aclosing(q.stream(db, ALL)) as stream:
            async for each in stream:
                assert each == ROWS[0]
                break
        await works(db)
        prepared = q.prepare(ALL)
        async with db.transaction() as session, aclosing(prepared.stream(session)) as stream:
            assert await anext(stream) == ROWS[0]
        await works(db)


async def test_a_row_that_does_not_fit_ends_the_stream(open_db: Any) -> None:
    async with open_db(items) as db:
        await q.insert_many(db, items, ROWS)
        got = 0
        with pytest.raises(SqlError, match="a row is no int"):
            async with aclosing(
                q.stream(
                    db,
                    q.select(q.case((items.c.id == 5, "five"), else_="1").label("n")).order_by(
                        items.c.id
                    ),
                    int,
                )
            ) as stream:
                async for _ in stream:
                    got += 1
        assert got == 5
        await works(db)


@pytest.mark.parametrize("steps", range(12))
async def test_cancelled_anywhere(open_db: Any, steps: int) -> None:
    async with open_db(items) as db:
        await q.insert_many(db, items, ROWS)

        async def everything() -> None:
            await q.fetch_all(db, ALL)
            async with aclosing(q.stream(db, ALL)) as stream:
                async for _ in stream:
                    pass
            async with db.transaction() as session:
                await q.execute(session, q.update(items).values(name="lost").where(items.c.id == 7))
                await anyio.sleep_forever()

        async with anyio.create_task_group() as group:
            group.start_soon(everything)
            for _ in range(2**steps):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        await works(db)


async def test_rows_that_cannot_be_bound_change_nothing(open_db: Any) -> None:
    async with open_db(items) as db:
        await q.insert_many(db, items, ROWS)

        def more() -> Any:
            yield {"id": 2000, "name": "good"}
            yield {"id": 2001}

        with pytest.raises(SqlError, match="no value for 'name'"):
            await q.insert_many(db, items, more())

        def failing() -> Any:
            yield {"id": 2000, "name": "good"}
            raise RuntimeError("the source broke")

        with pytest.raises(RuntimeError, match="the source broke"):
            await q.insert_many(db, items, failing())
        await works(db)
