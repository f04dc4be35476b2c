"""The pool: who leads, who follows, and that no request is left without an answer."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Generator
from types import CoroutineType
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from scripted import Script, ScriptedEngine, scripted

from covet_engine._core import Kind
from covet_kernel.testing import cancel_at_every_await


class Odd(BaseException):
    """Nothing that anybody expects."""


async def quick(call: Script) -> str:
    return "quick"


async def patient(call: Script) -> str:
    await anyio.lowlevel.checkpoint()
    return "patient"


async def forever(call: Script) -> None:
    await anyio.sleep_forever()


def raising(error: BaseException, turns: int = 0) -> Callable[[Script], Coroutine[Any, Any, Any]]:
    async def handler(call: Script) -> None:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        raise error

    return handler


async def alive(engine: ScriptedEngine) -> None:
    """Somebody leads, and somebody follows."""
    for _ in range(3):
        assert await engine.ask(quick) == (200, "'quick'")
        assert await engine.ask(patient) == (200, "'patient'")


async def test_what_does_not_wait_is_one_turn_and_one_flush() -> None:
    async with scripted() as engine:
        await engine.settle()
        handles = engine.request(*[quick] * 50)
        assert await engine.answer(handles[-1]) == (200, "'quick'")
        assert [engine.answer_now(each) for each in handles] == [(200, "'quick'")] * 50
        assert engine.library.polls[-1] == 50
        assert engine.library.submits == [50]
        assert not any(engine.calls[each].waited for each in handles)


async def test_answers_of_one_turn_leave_together() -> None:
    release = anyio.Event()

    async def waiting(call: Script) -> str:
        await release.wait()
        return "done"

    async with scripted() as engine:
        handles = engine.request(*[waiting] * 40)
        await engine.settle(100)
        assert engine.library.submits == []
        release.set()
        for handle in handles:
            assert await engine.answer(handle) == (200, "'done'")
        assert len(engine.library.submits) <= 3
        assert sum(engine.library.submits) == 40


async def test_the_rest_of_a_batch_does_not_wait_for_one_call() -> None:
    async with scripted() as engine:
        handles = engine.request(quick, forever, quick, forever, forever, quick)
        for handle in (handles[0], handles[2], handles[5]):
            assert await engine.answer(handle) == (200, "'quick'")
        assert len(engine.library.polls) <= 3
        assert engine.answer_now(handles[1]) is None


async def test_workers_are_used_again() -> None:
    tasks = set()

    async def handler(call: Script) -> None:
        tasks.add(anyio.get_current_task().id)
        await anyio.lowlevel.checkpoint()
        tasks.add(anyio.get_current_task().id)

    async with scripted() as engine:
        for _ in range(50):
            await engine.ask(handler)
    assert len(tasks) <= 3


async def test_only_so_many_workers_are_kept() -> None:
    release = anyio.Event()

    async def waiting(call: Script) -> None:
        await release.wait()

    async with scripted(warm=5) as engine:
        before = alive_tasks()
        handles = engine.request(*[waiting] * 60)
        await engine.settle(150)
        assert alive_tasks() - before >= 55
        release.set()
        for handle in handles:
            await engine.answer(handle)
        await engine.settle(100)
        assert alive_tasks() - before <= 6
        await alive(engine)


def alive_tasks() -> int:
    """Workers there are, by the coroutines that run."""
    gc.collect()
    return sum(
        1
        for each in gc.get_objects()
        if isinstance(each, CoroutineType)
        and each.__qualname__ == "Pool._work"
        and each.cr_frame is not None
    )


ERRORS = [
    ValueError("x"),
    StopAsyncIteration("x"),
    RecursionError("x"),
    MemoryError("x"),
    GeneratorExit("x"),
    Odd("x"),
    ExceptionGroup("x", [ValueError("x")]),
    BaseExceptionGroup("x", [Odd("x")]),
]


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_whatever_a_call_raises_is_its_answer(error: BaseException, turns: int) -> None:
    async with scripted() as engine:
        for _ in range(3):
            first, second, third = engine.request(quick, raising(error, turns), patient)
            assert await engine.answer(first) == (200, "'quick'")
            assert (await engine.answer(second))[0] == 500
            assert await engine.answer(third) == (200, "'patient'")
        await alive(engine)


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_cancellation_of_nobody_ends_one_call(turns: int) -> None:
    async with scripted() as engine:
        for _ in range(3):
            error = anyio.get_cancelled_exc_class().__new__(anyio.get_cancelled_exc_class())
            first, second = engine.request(raising(error, turns), patient)
            assert (await engine.answer(first))[0] == 503
            assert await engine.answer(second) == (200, "'patient'")
        await alive(engine)


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("turns", [0, 2])
def test_an_interrupt_is_answered_and_reaches_the_owner(
    fatal: type[BaseException], turns: int, anyio_backend_name: str
) -> None:
    seen: list[ScriptedEngine] = []

    async def main() -> None:
        async with scripted() as engine:
            seen.append(engine)
            engine.request(quick, raising(fatal(), turns))
            await anyio.sleep(10)

    with pytest.raises((fatal, BaseExceptionGroup)) as caught:
        anyio.run(main, backend=anyio_backend_name)
    if isinstance(caught.value, BaseExceptionGroup):
        assert caught.value.split(fatal)[1] is None
    [engine] = seen
    assert engine.answer_now(1) == (200, "'quick'")
    assert engine.answer_now(2) is not None
    assert engine.library.freed


@pytest.mark.parametrize("step", ["target", "start", "suspended", "finish", "fail"])
@pytest.mark.parametrize("handler", [quick, patient])
async def test_a_defect_of_an_exchange_costs_one_answer(
    step: str, handler: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Defective(Script):
        pass

    def fails(*given: Any) -> Any:
        raise ValueError("defect")

    async with scripted() as engine:
        if step != "target":
            setattr(Defective, step, fails)
        broken = fails if step == "target" else Defective
        real = engine.pool.targets[0]

        def target(handle: int, at: int, size: int, flags: int) -> Any:
            if handle == bad:
                return broken(engine, handle, handler)
            return real(handle, at, size, flags)

        engine.pool.targets = [target]
        if step == "fail":
            monkeypatch.setattr(Defective, "finish", fails)
        [bad] = engine.request(handler)
        good = engine.request(quick, patient)
        status, _ = await engine.answer(bad)
        if step == "fail":
            assert status == 0
        elif step == "suspended" and handler is quick:
            assert status == 200
        else:
            assert status == 500
        for each in good:
            assert (await engine.answer(each))[0] == 200
        await alive(engine)


async def test_a_defect_of_an_event_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with scripted() as engine:
        [handle] = engine.request(forever)
        await engine.settle()
        engine.calls[handle].on_event = lambda *event: 1 / 0  # type: ignore[method-assign, assignment]
        engine.event(handle, Kind.ROOM)
        await alive(engine)
        assert "ZeroDivisionError" in caplog.text


async def test_events_of_the_engine_and_of_nobody(caplog: pytest.LogCaptureFixture) -> None:
    noticed: list[int] = []
    async with scripted() as engine:
        engine.pool.notice = noticed.append
        for kind in (Kind.GONE, Kind.LOG, Kind.TIMER, Kind.EMPTY, Kind.BODY):
            engine.event(0, kind)
        engine.library.put((77, 0, 0, 0, Kind.REFUSED, 0, 200))
        await alive(engine)
    assert noticed == [Kind.LOG, Kind.EMPTY]
    assert "status 200 was not sent" in caplog.text


class Garbage:
    def __await__(self) -> Generator[Any, Any, Any]:
        yield 42


async def test_a_coroutine_that_yields_what_no_loop_knows() -> None:
    async def handler(call: Script) -> None:
        await Garbage()

    async with scripted() as engine:
        for _ in range(3):
            status, text = await engine.ask(handler)
            assert status == 500
            assert "42" in text
        await alive(engine)


async def test_cancelling_one_call_at_each_of_its_awaits() -> None:
    async def handler(call: Script) -> str:
        try:
            for _ in range(4):
                await anyio.lowlevel.checkpoint()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.lowlevel.checkpoint)
                await anyio.lowlevel.checkpoint()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
        return "done"

    async with scripted() as engine:

        async def one() -> None:
            [handle] = engine.request(handler)
            try:
                await engine.answer(handle)
            except BaseException:
                if handle in engine.calls:
                    engine.calls[handle].cancel("client")
                with anyio.CancelScope(shield=True):
                    answer = await engine.answer(handle)
                assert answer in ((503, "client"), (200, "'done'"))
                raise
            assert engine.answer_now(handle) == (200, "'done'")

        async def check() -> None:
            await alive(engine)
            assert not engine.core.live

        assert await cancel_at_every_await(one, check=check) > 5


async def test_cancelling_everything_at_each_await() -> None:
    """Everybody ends, the engine is freed, and calls that had begun are answered."""
    engines: list[ScriptedEngine] = []

    async def one() -> None:
        async with scripted() as engine:
            engines.append(engine)
            handles = engine.request(quick, patient, forever, patient)
            await engine.answer(handles[3])
            await engine.settle(4)

    async def check() -> None:
        engine = engines[-1]
        assert engine.library.freed
        for handle in engine.calls:
            assert engine.answer_now(handle) is not None

    assert await cancel_at_every_await(one, check=check) > 5


async def test_a_deadline_that_comes_and_one_that_does_not() -> None:
    async def slow(call: Script) -> None:
        call.timeout = 5
        await anyio.sleep_forever()

    async with scripted() as engine:
        first, second = engine.request(slow, slow)
        await engine.settle()
        engine.event(first, Kind.TIMER)
        assert await engine.answer(first) == (503, "deadline")
        await alive(engine)
        assert engine.answer_now(second) is None
        # Too late is no harm.
        engine.event(first, Kind.TIMER)
        await alive(engine)


async def test_a_call_cancelled_before_it_waits() -> None:
    async def handler(call: Script) -> None:
        call.cancel("client")
        await anyio.sleep_forever()

    async with scripted() as engine:
        assert await engine.ask(handler) == (503, "client")
        await alive(engine)


async def test_a_call_that_survives_its_cancellation_is_answered_as_it_wants() -> None:
    async def handler(call: Script) -> str:
        call.cancel("client")
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "so what"
        return "not cancelled"

    async with scripted() as engine:
        assert await engine.ask(handler) == (200, "'so what'")
        await alive(engine)


async def test_fairness_to_other_tasks() -> None:
    """Between two batches every other task gets its turn."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async def again(call: Script) -> None:
        if len(engine.calls) < 50:
            engine.request(again)

    async with scripted() as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await engine.settle()
        turns = 0
        engine.request(again)
        while len(engine.calls) < 50:
            await anyio.lowlevel.checkpoint()
        assert turns >= 49
        tasks.cancel_scope.cancel()


async def test_quiet_waits_for_calls() -> None:
    release = anyio.Event()

    async def waiting(call: Script) -> None:
        await release.wait()

    async with scripted() as engine:
        with anyio.fail_after(5):
            await engine.core.quiet()
        engine.request(waiting, quick)
        await engine.settle()
        with anyio.move_on_after(0.05) as patience:
            await engine.core.quiet()
        assert patience.cancelled_caught
        release.set()
        with anyio.fail_after(5):
            await engine.core.quiet()
        assert engine.answer_now(1) == (200, "None")
