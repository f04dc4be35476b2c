"""The driver: deadlines, causes, disconnects, contexts, lanes, and why a late scope is sunk."""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from operations_testbed.plain import PlainCall, Service, plain

from covet_kernel.contracts import Call, Cause
from covet_operations import (
    Cancelled,
    DeadlineExceeded,
    Endpoint,
    Lane,
    NotFound,
    OperationError,
    OperationsConfig,
    Suspended,
    Unavailable,
    ended,
    operation,
)

SEEN: ContextVar[int] = ContextVar("SEEN", default=0)


@operation(effect="read")
@plain("waits")
async def waits(call: PlainCall) -> str:
    with anyio.CancelScope():
        await anyio.sleep_forever()
    return "never"


@operation(effect="read")
@plain("quick")
async def quick() -> int:
    SEEN.set(SEEN.get() + 1)
    return SEEN.get()


@operation(effect="read", on_disconnect="finish")
@plain("finishes")
async def finishes(call: PlainCall) -> str:
    await anyio.wait_all_tasks_blocked()
    return str(call.disconnected)


@operation(effect="read", on_disconnect="notify")
@plain("notified")
async def notified(call: PlainCall) -> str:
    while not call.disconnected:
        await checkpoint()
    return "knows"


@operation(effect="read")
@plain("turns")
async def turns_cancellation_into_an_error() -> None:
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        raise RuntimeError("interrupted") from None


@operation(effect="read", deadline=5)
@plain("tight")
async def tight() -> None: ...


@operation(effect="read")
@plain("items")
async def items() -> AsyncIterator[int]:
    yield 1


async def step(endpoint: Endpoint[Any], call: Call) -> Any:
    """What a transport does that drives calls itself."""
    with anyio.CancelScope() as scope:
        call.scope = scope
        if endpoint.timeout != math.inf:
            scope.deadline = anyio.current_time() + endpoint.timeout
        coroutine, context = endpoint.start(call), copy_context()
        try:
            trap = context.run(coroutine.send, None)
            await Suspended(coroutine, context, trap)
        except StopIteration:
            pass
        except Exception as error:
            raise endpoint.failure(call, error) from error
        return call.body
    raise ended(call)


async def drive(endpoint: Endpoint[Any], call: Call, driver: str) -> Any:
    if driver == "step":
        return await step(endpoint, call)
    if driver == "lane":
        async with Lane() as lane:
            return await lane.run(endpoint, call)
    return await endpoint.run(call)


async def run(service: Service, number: int, driver: str, **options: Any) -> Any:
    return await drive(*service.call(number, **options), driver)


@pytest.fixture(params=["run", "lane", "step"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        ("disconnect", Cancelled),
        ("client", Cancelled),
        ("shutdown", Unavailable),
        ("deadline", DeadlineExceeded),
    ],
)
async def test_the_first_cause_wins(driver: str, cause: Cause, error: type[OperationError]) -> None:
    endpoint, call = Service(waits).call()

    async def cancel() -> None:
        await anyio.wait_all_tasks_blocked()
        call.cancel(cause)
        call.cancel("server")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        with pytest.raises(error):
            await drive(endpoint, call, driver)
    assert call.cause == cause


async def test_cancelled_before_it_begins(driver: str) -> None:
    endpoint, call = Service(quick).call()
    call.cancel("shutdown")
    with pytest.raises(Unavailable):
        await endpoint.run(call)
    endpoint, call = Service(quick).call()
    call.deadline = anyio.current_time() - 1
    with pytest.raises(DeadlineExceeded):
        await endpoint.run(call)


async def test_a_library_that_hides_cancellation(
    driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(turns_cancellation_into_an_error, config=OperationsConfig(deadline=0.05))
    with pytest.raises(DeadlineExceeded):
        await run(service, 0, driver)
    assert "while it was cancelled" in caplog.text


async def test_a_context_of_its_own(driver: str) -> None:
    service = Service(quick)
    assert [await run(service, 0, driver) for _ in range(2)] == [b"1", b"1"]
    assert SEEN.get() == 0


async def test_one_lane_many_calls() -> None:
    service = Service(quick, waits, config=OperationsConfig(deadline=0.02))
    async with Lane() as lane:
        late: list[Call] = []
        for _ in range(3):
            endpoint, call = service.call(0)
            assert await lane.run(endpoint, call) == b"1"
            endpoint, waiting = service.call(1)
            with pytest.raises(DeadlineExceeded):
                await lane.run(endpoint, waiting)
            late += [call, waiting]
            # A cancel that comes too late must not hit whatever the lane runs next.
            for each in late:
                each.cancel("client")


async def test_a_lane_in_a_cancelled_task_ends() -> None:
    endpoint, call = Service(waits).call()
    with anyio.move_on_after(0.02) as scope:
        async with Lane() as lane:
            await lane.run(endpoint, call)
    assert scope.cancelled_caught
    assert call.cause is None


async def test_both_the_call_and_its_task_are_cancelled() -> None:
    endpoint, call = Service(waits).call()
    with anyio.CancelScope() as scope:
        async with Lane() as lane, anyio.create_task_group() as tasks:
            del lane, tasks

        async def both() -> None:
            await anyio.wait_all_tasks_blocked()
            call.cancel("client")
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(both)
            with pytest.raises((Cancelled, anyio.get_cancelled_exc_class())):
                await endpoint.run(call)
            await checkpoint()
            raise AssertionError("the task goes on")
    assert scope.cancelled_caught


async def gone() -> None:
    await checkpoint()


async def test_disconnect_policies() -> None:
    service = Service(waits, finishes, notified)
    endpoint, call = service.call(0)
    with pytest.raises(Cancelled):
        await endpoint.run(call, watch=gone)
    assert (call.cause, call.disconnected) == ("disconnect", True)
    endpoint, call = service.call(1)
    assert await endpoint.run(call, watch=gone) == b'"False"'
    endpoint, call = service.call(2)
    assert await endpoint.run(call, watch=gone) == b'"knows"'


async def test_the_watcher_starts_only_when_the_call_waits_and_ends_with_it() -> None:
    log = []

    async def watch() -> None:
        log.append("begin")
        try:
            await anyio.sleep_forever()
        finally:
            log.append("end")

    service = Service(quick, finishes, notified)
    endpoint, call = service.call(0)
    await endpoint.run(call, watch=watch)
    assert log == []

    @operation(effect="read")
    @plain()
    async def waits_once() -> None:
        await anyio.wait_all_tasks_blocked()

    endpoint, call = Service(waits_once).call()
    await endpoint.run(call, watch=watch)
    assert log == ["begin", "end"]


async def test_errors_pass_the_watched_driver_unwrapped() -> None:
    @operation(effect="read", errors=(NotFound,))
    @plain()
    async def fails() -> None:
        await checkpoint()
        raise NotFound("x")

    endpoint, call = Service(fails).call()
    with pytest.raises(NotFound):
        await endpoint.run(call, watch=anyio.sleep_forever)


@pytest.mark.parametrize(
    ("config", "handler", "expected"),
    [(30.0, quick, 30.0), (0.0, quick, math.inf), (1.0, tight, 5.0), (30.0, items, math.inf)],
)
async def test_which_deadline(config: float, handler: Any, expected: float) -> None:
    service = Service(handler, config=OperationsConfig(deadline=config))
    assert service.endpoints[0].timeout == expected


async def test_sync_handlers_run_inline_or_in_a_thread() -> None:
    @operation(effect="read")
    @plain("inline")
    def inline(n: int = 1) -> bool:
        return threading.current_thread() is threading.main_thread()

    @operation(effect="read", thread=True)
    @plain("threaded")
    def threaded(*, n: int = 1) -> bool:
        return threading.current_thread() is threading.main_thread()

    service = Service(inline, threaded)
    assert [await service.run(0), await service.run(1)] == [b"true", b"false"]


async def test_why_a_scope_that_is_entered_late_is_sunk() -> None:
    """A scope opened when a coroutine first waits sits inside the coroutine's own scopes."""

    async def handler() -> None:
        with anyio.CancelScope():
            await checkpoint()

    coroutine = handler()
    trap = coroutine.send(None)
    late = anyio.CancelScope().__enter__()

    class Rest:
        def __await__(self) -> Any:
            yield trap
            coroutine.send(None)

    # The handler leaves its scope while ours, entered later, is still open: both backends refuse.
    with pytest.raises(RuntimeError, match="scope"):
        await Rest()
    coroutine.close()
    assert late.cancel_called is False
