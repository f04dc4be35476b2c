"""A unit of work is done again when it conflicted, and never when it may have happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from covet_kernel.contracts import (
    SQL,
    SqlConflictError,
    SqlDatabase,
    SqlError,
    SqlSession,
    SqlUnavailableError,
)
from covet_kernel.testing import run_kernel
from covet_sql import _transaction, run_transaction
from covet_sqlite import Sqlite


class Conflicting:
    """A real database whose transactions end as they are told to.

    Attributes:
        enters: What the next transactions raise before they begin.
        ends: What they raise in place of a commit.
        after: What they raise behind it.
    """

    def __init__(self, inner: SqlDatabase) -> None:
        self.inner = inner
        self.ends: list[SqlError] = []
        self.enters: list[SqlError] = []
        self.after: list[SqlError] = []
        self.options: list[dict[str, Any]] = []

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[SqlSession]:
        self.options.append(options)
        if self.enters:
            raise self.enters.pop()
        async with self.inner.transaction(**options) as session:
            yield session
            if self.ends:
                raise self.ends.pop()
        if self.after:
            raise self.after.pop()


@asynccontextmanager
async def conflicting() -> AsyncIterator[Any]:
    async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
        db = kernel.require(SQL)
        await db.execute("CREATE TABLE t (a INTEGER)")
        yield Conflicting(db)


def conflict(sqlstate: str = "40001") -> SqlConflictError:
    return SqlConflictError("somebody was in the way", sqlstate=sqlstate)


class Work:
    """Adds a row, and counts how often it did."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self, session: SqlSession) -> int:
        self.runs += 1
        await session.execute("INSERT INTO t VALUES (?)", (self.runs,))
        return self.runs


COUNT = "SELECT count(*) FROM t"


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_transaction, "uniform", lambda low, _high: low)


async def test_what_conflicted_is_done_again_from_the_start() -> None:
    async with conflicting() as db:
        db.ends = [conflict(), conflict("40P01"), conflict()]
        work = Work()
        assert await run_transaction(db, work, isolation="serializable") == 4
        assert await db.inner.fetch_all("SELECT a FROM t") == [{"a": 4}]
        assert db.options == [{"read_only": False, "isolation": "serializable"}] * 4


async def test_a_conflict_within_the_work_counts_as_well() -> None:
    async with conflicting() as db:
        work = Work()

        async def conflicting_work(session: SqlSession) -> int:
            if await work(session) < 3:
                raise conflict()
            return work.runs

        assert await run_transaction(db, conflicting_work) == 3
        assert await db.inner.fetch_value(COUNT) == 1


async def test_attempts_are_bounded() -> None:
    async with conflicting() as db:
        db.ends = [conflict() for _ in range(20)]
        work = Work()
        with pytest.raises(SqlConflictError) as caught:
            await run_transaction(db, work, attempts=5)
        assert work.runs == 5
        assert caught.value.__notes__ == ["the transaction conflicted with others 5 times"]
        assert await db.inner.fetch_value(COUNT) == 0
        with pytest.raises(ValueError, match="once"):
            await run_transaction(db, work, attempts=0)
        assert work.runs == 5


@pytest.mark.parametrize(
    "error",
    [
        SqlUnavailableError("the outcome of the commit is not known", sqlstate="08007"),
        SqlUnavailableError("lost", sqlstate="08006"),
        conflict("40003"),
        conflict("55P03"),
        SqlError("wrong", sqlstate="42000"),
    ],
    ids=lambda error: error.sqlstate,
)
async def test_nothing_else_is_done_again(error: SqlError) -> None:
    async with conflicting() as db:
        db.after = [error]
        work = Work()
        with pytest.raises(SqlError) as caught:
            await run_transaction(db, work)
        assert caught.value is error
        assert work.runs == 1
        assert await db.inner.fetch_value(COUNT) == 1


async def test_what_could_not_begin_has_waited_already() -> None:
    async with conflicting() as db:
        db.enters = [conflict()]
        work = Work()
        with pytest.raises(SqlConflictError):
            await run_transaction(db, work)
        assert work.runs == 0


async def test_the_blocks_own_error_is_raised_at_once() -> None:
    async with conflicting() as db:

        async def work(session: SqlSession) -> None:
            await session.execute("INSERT INTO t VALUES (1)")
            raise LookupError

        with pytest.raises(LookupError):
            await run_transaction(db, work)
        assert await db.inner.fetch_value(COUNT) == 0


async def test_no_attempt_begins_behind_the_callers_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_transaction, "uniform", lambda _low, _high: 1e9)
    async with conflicting() as db:
        db.ends = [conflict()]
        work = Work()
        # Not by a cancellation: the caller is told what was in the way while there is time.
        with anyio.fail_after(1e6), pytest.raises(SqlConflictError) as caught:
            await run_transaction(db, work)
        assert work.runs == 1
        assert "deadline leaves no time" in caught.value.__notes__[0]


async def test_waits_grow_up_to_a_limit_and_are_a_matter_of_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[float, float]] = []

    def chance(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    monkeypatch.setattr(_transaction, "uniform", chance)
    async with conflicting() as db:
        db.ends = [conflict() for _ in range(9)]
        await run_transaction(db, Work())
    assert [low for low, _ in asked] == [0] * 9
    highs = [high for _, high in asked]
    assert highs == sorted(highs)
    assert highs[0] < highs[1]
    assert highs[-1] == _transaction.LONGEST_WAIT


async def test_a_cancelled_wait_ends_and_nothing_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_transaction, "uniform", lambda _low, _high: 1e9)
    async with conflicting() as db:
        db.ends = [conflict()]
        work = Work()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_transaction, db, work)
            while not work.runs or db.ends:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert work.runs == 1
        assert await db.inner.fetch_value(COUNT) == 0
