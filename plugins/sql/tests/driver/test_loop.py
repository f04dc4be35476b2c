"""Waiting as the driver does it: what comes is had, whoever is cancelled meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from covet_sql.driver import Reply, current_scheduler


async def some_turns() -> None:
    for _ in range(3):
        await anyio.lowlevel.checkpoint()


async def test_a_reply_is_had_whether_it_comes_before_or_behind_the_wait() -> None:
    scheduler = current_scheduler()
    for make in (scheduler.reply, scheduler.kept):
        early, late = make(), make()
        early.set_result("early")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(set_later, late, "late")
            assert [await early, await late] == ["early", "late"]
        assert early.done()
        assert late.done()


async def set_later(reply: Reply, result: Any) -> None:
    await some_turns()
    reply.set_result(result)


async def test_a_cancelled_task_has_abandoned_its_reply() -> None:
    reply = current_scheduler().reply()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await reply
    assert scope.cancelled_caught
    assert reply.done()


@pytest.mark.parametrize("early", [True, False])
async def test_a_kept_reply_is_waited_for_all_the_same(early: bool) -> None:
    reply, seen = current_scheduler().kept(), []
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:

            async def cancel_and_answer() -> None:
                if not early:
                    await some_turns()
                scope.cancel()
                await some_turns()
                assert not reply.done()
                reply.set_result("here")

            tasks.start_soon(cancel_and_answer)
            if early:
                scope.cancel()
            seen.append(await reply)
            await anyio.lowlevel.checkpoint()
            seen.append("not cancelled")
    assert seen == ["here"]
    assert scope.cancelled_caught


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_asyncio_cancels_hears_of_that_behind_a_kept_reply() -> None:
    import asyncio  # noqa: TID251 - anyio's scopes cancel in another way

    reply, begun = current_scheduler().kept(), anyio.Event()

    async def wait() -> None:
        begun.set()
        await reply

    task = asyncio.ensure_future(wait())
    await begun.wait()
    task.cancel()
    await some_turns()
    assert not task.done()
    reply.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_is_told_from_others() -> None:
    scheduler, seen = current_scheduler(), set()

    async def look() -> None:
        one = scheduler.task()
        await some_turns()
        assert scheduler.task() == one
        seen.add(one)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(look)
    assert len(seen) == 3


async def test_an_alarm_rings_once_unless_it_is_called_off() -> None:
    scheduler, rung, event = current_scheduler(), [], anyio.Event()

    def ring(name: str) -> Callable[[], None]:
        return lambda: rung.append(name)

    off = scheduler.alarm(0.0, ring("called off"))
    scheduler.alarm(0.001, ring("first"))
    scheduler.alarm(0.01, event.set)
    off()
    await event.wait()
    await some_turns()
    assert rung == ["first"]
