"""The pool on trio: what asyncio has nothing like."""

from __future__ import annotations

import trio  # noqa: TID251 - its nurseries, its scopes and its own ways to wait are what is tested
from scripted import Script, ScriptedEngine, scripted


async def quick(call: Script) -> str:
    return "quick"


async def alive(engine: ScriptedEngine) -> None:
    """Somebody leads, somebody follows, and their tasks are as good as new."""

    async def probe(call: Script) -> str:
        assert trio.current_effective_deadline() == float("inf")
        with trio.CancelScope():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint)
        return "fine"

    for _ in range(3):
        assert await engine.ask(quick) == (200, "'quick'")
        assert await engine.ask(probe) == (200, "'fine'")


def test_scopes_and_nurseries_of_the_loop() -> None:
    async def handler(call: Script) -> str:
        with trio.move_on_after(0.01) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await trio.sleep(1000)
        assert scope.cancelled_caught
        try:
            with trio.fail_after(0.01):
                await trio.sleep(1000)
        except trio.TooSlowError:
            return "too slow"
        return "not too slow"

    async def cancelled(call: Script) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()

    async def main() -> None:
        async with scripted() as engine:
            for handle in engine.request(*[handler] * 4):
                assert await engine.answer(handle) == (200, "'too slow'")
            await alive(engine)
            [handle] = engine.request(cancelled)
            await engine.settle()
            engine.calls[handle].cancel("client")
            assert await engine.answer(handle) == (503, "client")
            await alive(engine)

    trio.run(main)


def test_the_task_is_the_same_all_along() -> None:
    async def handler(call: Script) -> bool:
        task = trio.lowlevel.current_task()
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            assert trio.lowlevel.current_task() is task
        return trio.lowlevel.current_task() is task

    async def main() -> None:
        async with scripted() as engine:
            for handle in engine.request(*[handler] * 10):
                assert await engine.answer(handle) == (200, "True")

    trio.run(main)


def test_cancelled_in_the_moment_of_waking() -> None:
    """A call whose wait is over and that is cancelled in the same turn."""

    async def main() -> None:
        release = trio.Event()

        async def handler(call: Script) -> str:
            await release.wait()
            return "done"

        async with scripted() as engine:
            [handle] = engine.request(handler)
            await engine.settle()
            release.set()
            engine.calls[handle].cancel("client")
            assert await engine.answer(handle) in ((200, "'done'"), (503, "client"))
            await alive(engine)

    trio.run(main)
