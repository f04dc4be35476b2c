"""What tables that are worked off have in common."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel.contracts import SQL, SqlError
from covet_kernel.testing import run_kernel
from covet_sql.queue import (
    Doorbell,
    Looks,
    backoff,
    create,
    milliseconds,
    reason_of,
    statements_of,
)
from covet_sqlite import Sqlite


@pytest.mark.parametrize("attempt", [1, 2, 5, 60, 10**9])
def test_waits_double_up_to_the_longest(attempt: int) -> None:
    whole = min(60.0, 0.5 * 2.0 ** min(attempt - 1, 60))
    assert all(whole / 2 <= backoff(attempt, 0.5, 60.0) <= whole for _ in range(20))


@given(st.text())
def test_every_database_can_store_a_reason(text: str) -> None:
    reason = reason_of(ValueError(text))
    assert reason.startswith("ValueError: ")
    assert len(reason) <= 500
    assert "\0" not in reason
    reason.encode()


async def test_the_clock_is_the_database_s() -> None:
    async with run_kernel({"sqlite": Sqlite}, {"sqlite": {"path": ":memory:"}}) as kernel:
        before = time.time_ns() // 1_000_000
        now = await kernel.require(SQL).fetch_value(f"SELECT {milliseconds('sqlite')} AS now")
        assert before - 1 <= now <= time.time_ns() // 1_000_000 + 1


async def test_tables_that_others_make_are_tried_for_again() -> None:
    class Database:
        failures = 2
        ran: list[str] = []

        async def execute(self, statement: str) -> int:
            self.ran.append(statement)
            if self.failures:
                self.failures -= 1
                raise SqlError("somebody else made it")
            return 0

    database: Any = Database()
    await create(database, statements_of("one;\n two ;\n"))
    assert database.ran == ["one", "one", "one", "two"]
    database.failures = 10**6
    with pytest.raises(SqlError):
        await create(database, ["one"])


async def test_who_rings_wakes_everybody() -> None:
    doorbell, woken = Doorbell(), []

    async def sleeper() -> None:
        await doorbell.wait(1000)
        woken.append(1)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(sleeper)
        await anyio.wait_all_tasks_blocked()
        doorbell.ring()
    assert woken == [1, 1, 1]


async def test_what_is_expected_is_looked_for_ever_more_seldom() -> None:
    doorbell = Doorbell()
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    looks = Looks(doorbell, 0.01)
    doorbell.wait = wait  # type: ignore[method-assign]
    await looks.pause()
    doorbell.expect()
    for _ in range(5):
        await looks.pause()
    # The ring itself is a reason to look at once.
    assert waited == [0.01, 0.004, 0.008, 0.01, 0.01]
    doorbell.ring()
    await looks.pause()
    assert len(waited) == 5


async def test_a_database_without_channels_is_not_listened_to() -> None:
    class Refusing:
        def listen(self, channels: tuple[str, ...], buffer: int) -> Any:
            raise SqlError("not through this pooler", sqlstate="0A000")

    for each in (object(), Refusing()):
        database: Any = each
        await Doorbell().listen(database, "c")
