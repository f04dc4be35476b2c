"""What goes in comes out, or is refused by an error of the contract."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covet_kernel.contracts import SqlError
from covet_sqlite import SqliteConfig
from covet_sqlite._database import SqliteDatabase

Opener = Callable[..., AbstractAsyncContextManager[SqliteDatabase]]

KEPT = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
)


@given(rows=st.lists(st.tuples(KEPT, KEPT), max_size=20))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_values_come_back_as_they_were(backend: str, rows: list[tuple[Any, Any]]) -> None:
    async def main() -> None:
        db = SqliteDatabase(None, SqliteConfig())
        try:
            await db.execute("CREATE TABLE t (a, b)")
            assert await db.execute_many("INSERT INTO t VALUES (?, ?)", rows) == len(rows)
            expected = [{"a": a, "b": b} for a, b in rows]
            got = await db.fetch_all("SELECT a, b FROM t ORDER BY rowid")
            assert got == expected
            assert [row async for row in db.stream("SELECT a, b FROM t ORDER BY rowid")] == expected
            types = [[type(value) for value in row.values()] for row in got]
            assert types == [[type(value) for value in row] for row in rows]
            for a, b in rows:
                named = await db.fetch_one("SELECT :x AS x, :y AS y", {"x": a, "y": b})
                assert named == {"x": a, "y": b}
        finally:
            await db.close()

    anyio.run(main, backend=backend)


@pytest.mark.parametrize(
    ("value", "sqlstate"),
    [
        (2**63, "22003"),
        (10**5000, "22003"),
        ("\ud800", "22021"),
        (object(), "07006"),
        ([1], "07006"),
        ({"a": 1}, "07006"),
    ],
    ids=["64 bits", "5000 digits", "surrogate", "object", "list", "dict"],
)
async def test_what_sqlite_cannot_keep_is_refused(
    open_db: Opener, value: Any, sqlstate: str
) -> None:
    async with open_db() as db:
        # bad input 41: a huge integer, a lone surrogate
        for run in (db.execute, db.fetch_all):
            with pytest.raises(SqlError) as caught:
                await run("INSERT INTO t (a) VALUES (?)", (value,))
            assert caught.value.sqlstate == sqlstate
        assert await db.fetch_all("SELECT * FROM t") == []


async def test_truth_is_a_number_and_nan_is_null(open_db: Opener) -> None:
    async with open_db() as db:
        row = await db.fetch_one("SELECT ? AS yes, ? AS no, ? AS nan", (True, False, float("nan")))
        assert row == {"yes": 1, "no": 0, "nan": None}


async def test_columns_of_one_name_are_an_error_not_a_loss(open_db: Opener) -> None:
    async with open_db() as db:
        with pytest.raises(SqlError, match="'x' twice"):
            await db.fetch_all("SELECT 1 AS x, 2 AS x")
        assert await db.fetch_one("SELECT 1 AS x, 2 AS y") == {"x": 1, "y": 2}
