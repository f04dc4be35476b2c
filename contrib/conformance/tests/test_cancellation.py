"""The kit itself: which awaits it meets, and what it reports."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from covet_conformance import cancel_at_every_await


async def nothing() -> None:
    pass


async def test_it_meets_each_await_once() -> None:
    reached: list[int] = []

    async def scenario() -> int:
        for step in range(4):
            reached.append(step)
            await anyio.lowlevel.checkpoint()
        return 7

    ends: list[int] = []

    async def check() -> None:
        ends.append(reached[-1])
        reached.clear()

    awaits = await cancel_at_every_await(scenario, check)
    # One checkpoint may suspend more than once, but all are met and the last run is complete.
    assert awaits >= 4
    assert ends == sorted(ends)
    assert set(ends) == {0, 1, 2, 3}
    assert len(ends) == awaits + 1


async def test_it_meets_awaits_in_a_thread_a_child_and_the_cleanup() -> None:
    log: list[str] = []

    async def scenario() -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 0.001)
            await anyio.to_thread.run_sync(int)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                log.append("cleaned up")

    runs = await cancel_at_every_await(scenario, nothing) + 1
    assert log == ["cleaned up"] * runs


async def test_what_a_cancelled_run_leaves_behind_is_found() -> None:
    held = 0

    async def scenario() -> None:
        nonlocal held
        held += 1
        await anyio.lowlevel.checkpoint()
        held -= 1

    async def check() -> None:
        assert held == 0

    with pytest.raises(AssertionError, match="1 == 0"):
        await cancel_at_every_await(scenario, check)


async def test_errors_of_the_scenario_are_raised() -> None:
    async def scenario() -> None:
        try:
            await anyio.lowlevel.checkpoint()
        except BaseException:
            raise ValueError("instead of the cancellation") from None

    with pytest.raises(ValueError, match="instead"):
        await cancel_at_every_await(scenario, nothing)


async def test_a_scenario_that_ignores_its_cancellation_is_reported() -> None:
    async def scenario() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1)

    async def check() -> None:
        await anyio.sleep_forever()

    with pytest.raises(AssertionError, match="the check after cancelling at await 0"):
        await cancel_at_every_await(scenario, check, timeout=0.01)


async def test_a_scenario_without_end_is_reported() -> None:
    async def scenario() -> None:
        while True:
            try:
                await anyio.lowlevel.checkpoint()
            finally:
                pass

    with pytest.raises(AssertionError, match="more than 5 awaits"):
        await cancel_at_every_await(scenario, nothing, most=5)
