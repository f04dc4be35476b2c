"""The pool on asyncio and uvloop: what trio has nothing like."""

from __future__ import annotations

import asyncio  # noqa: TID251 - its tasks, its timeouts and its own ways to wait are what is tested
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from scripted import Script, ScriptedEngine, scripted

from covet_engine._wait_asyncio import AsyncioLoop


async def quick(call: Script) -> str:
    return "quick"


async def patient(call: Script) -> str:
    await asyncio.sleep(0)
    return "patient"


async def forever(call: Script) -> None:
    await asyncio.sleep(1000)


async def alive(engine: ScriptedEngine) -> None:
    """Somebody leads, somebody follows, and their tasks are as good as new."""

    async def probe(call: Script) -> int:
        task = asyncio.current_task()
        assert task is not None
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(0))
        return task.cancelling()

    for _ in range(3):
        assert await engine.ask(quick) == (200, "'quick'")
        assert await engine.ask(patient) == (200, "'patient'")
        assert await engine.ask(probe) == (200, "0")


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def test_timeouts_of_the_loop() -> None:
    async def handler(call: Script) -> str:
        seen = []
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)
        except TimeoutError:
            seen.append("timeout")
        try:
            await asyncio.wait_for(asyncio.sleep(10), 0.01)
        except TimeoutError:
            seen.append("wait_for")
        async with asyncio.timeout(10):  # noqa: ASYNC100 - meant
            pass
        return " ".join(seen)

    async def main() -> None:
        async with scripted() as engine:
            for handle in engine.request(*[handler] * 4):
                assert await engine.answer(handle) == (200, "'timeout wait_for'")
            await alive(engine)

    run(main)


def test_a_timeout_left_without_waiting() -> None:
    async def handler(call: Script) -> str:
        async with asyncio.timeout(0.01):  # noqa: ASYNC100 - meant
            return "left"

    async def main() -> None:
        async with scripted() as engine:
            assert await engine.ask(handler) == (200, "'left'")
            await asyncio.sleep(0.03)
            await alive(engine)

    run(main)


def test_task_groups_of_the_loop() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("child")

    async def handler(call: Script) -> str:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fails())
                await asyncio.sleep(10)
        except* ValueError:
            pass
        await asyncio.sleep(0)
        return "caught"

    async def cancelled(call: Script) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(100))
            await asyncio.sleep(100)

    async def main() -> None:
        async with scripted() as engine:
            for handle in engine.request(*[handler] * 4):
                assert await engine.answer(handle) == (200, "'caught'")
            await alive(engine)
            [handle] = engine.request(cancelled)
            await engine.settle()
            engine.calls[handle].cancel("client")
            assert await engine.answer(handle) == (503, "client")
            await alive(engine)

    run(main)


def test_the_task_is_the_same_all_along() -> None:
    async def handler(call: Script) -> bool:
        task = asyncio.current_task()
        for _ in range(5):
            await asyncio.sleep(0)
            assert asyncio.current_task() is task
        await asyncio.shield(asyncio.sleep(0.001))
        return asyncio.current_task() is task

    async def main() -> None:
        async with scripted() as engine:
            for handle in engine.request(*[handler] * 10):
                assert await engine.answer(handle) == (200, "True")

    run(main)


def test_a_task_that_outlives_its_call_is_its_own() -> None:
    seen: list[str] = []
    tasks = set()

    async def later(release: asyncio.Event) -> None:
        await release.wait()
        seen.append("ran")

    async def main() -> None:
        release = asyncio.Event()

        async def handler(call: Script) -> None:
            tasks.add(asyncio.create_task(later(release)))
            await asyncio.sleep(0)

        async with scripted() as engine:
            [handle] = engine.request(handler)
            assert await engine.answer(handle) == (200, "None")
            engine.calls[handle].cancel("client")
            await alive(engine)
            release.set()
            await asyncio.wait(tasks)
        assert seen == ["ran"]

    run(main)


def test_cancelling_the_task_itself() -> None:
    async def before_waiting(call: Script) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "returned"

    async def while_waiting(call: Script) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(10)

    async def and_surviving(call: Script) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return f"{task.cancelling()} left"
        return "not cancelled"

    async def main() -> None:
        async with scripted() as engine:
            for _ in range(3):
                assert await engine.ask(before_waiting) == (200, "'returned'")
                await alive(engine)
                assert await engine.ask(while_waiting) == (503, "None")
                await alive(engine)
                assert await engine.ask(and_surviving) == (200, "'1 left'")
                await alive(engine)

    asyncio.run(main())


def test_waiting_with_ordinary_futures() -> None:
    async def main() -> None:
        async with scripted(loop=AsyncioLoop(plain=True)) as engine:
            await alive(engine)
            handles = engine.request(quick, patient, forever, patient, quick)
            for place in (0, 1, 3, 4):
                assert (await engine.answer(handles[place]))[0] == 200
            engine.calls[handles[2]].cancel("client")
            assert await engine.answer(handles[2]) == (503, "client")
            await alive(engine)

    asyncio.run(main())


def test_asyncio_in_debug_mode() -> None:
    async def main() -> None:
        async with scripted() as engine:
            await alive(engine)
            [handle] = engine.request(forever)
            await engine.settle()
            engine.calls[handle].cancel("client")
            assert await engine.answer(handle) == (503, "client")
            await alive(engine)

    asyncio.run(main(), debug=True)


def test_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")

    async def main() -> None:
        async with scripted() as engine:
            await alive(engine)
            handles = engine.request(*[patient] * 30)
            for handle in handles:
                assert (await engine.answer(handle))[0] == 200
            [handle] = engine.request(forever)
            await engine.settle()
            engine.calls[handle].cancel("client")
            assert await engine.answer(handle) == (503, "client")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_those_who_look_for_waiting_tasks_find_the_workers_waiting() -> None:
    async with scripted() as engine:
        handles = engine.request(quick, forever)
        await anyio.wait_all_tasks_blocked()
        assert await engine.answer(handles[0]) == (200, "'quick'")
