"""Handlers in worker threads: calls that end before their threads do, and how many of those there may be."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.abc
import anyio.from_thread
import pytest
from operations_testbed.plain import Service, plain

from covet_kernel.testing import run_kernel
from covet_operations import (
    Cancelled,
    DeadlineExceeded,
    Operations,
    OperationsConfig,
    Unavailable,
    operation,
)
from covet_operations._threads import Threads, _Work


class Gate:
    """What blocks threads until it is opened, and what they did."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = anyio.Event()
        self.done: list[str] = []

    def wait(self, name: str) -> str:
        anyio.from_thread.run_sync(self.begun.set)
        assert self.opened.wait(20)
        self.done.append(name)
        return name


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


async def until(condition: Any) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.001)


async def left_behind(threads: Threads, gate: Gate) -> None:
    """Have one thread outlive its call."""

    async def leave(tasks: anyio.abc.TaskGroup) -> None:
        await gate.begun.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave, tasks)
        await threads.run("shop.report", gate.wait, "report")


async def past_deadline(service: Service, left: int = 1) -> None:
    """Call the first operation until so many threads are left behind: one may be too late to begin."""
    while service.pipeline.threads.left < left:
        with pytest.raises(DeadlineExceeded):
            await service.run(0)


async def test_a_call_past_its_deadline_leaves_its_thread(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    @operation(name="shop.report", effect="read", thread=True, deadline=0.05)
    @plain("report")
    def report() -> str:
        return gate.wait("report")

    service = Service(report)
    await past_deadline(service)
    threads = service.pipeline.threads
    assert (threads.left, gate.done) == (1, [])
    assert "shop.report is over, its thread is not: 1 of 40 are left behind" in caplog.text
    gate.opened.set()
    await until(lambda: threads.left == 0)
    assert gate.done == ["report"]


@pytest.mark.parametrize("cause", ["disconnect", "shutdown"])
async def test_whatever_cancels_a_call_leaves_its_thread(gate: Gate, cause: Any) -> None:
    @operation(effect="read", thread=True)
    @plain("report")
    def report() -> str:
        return gate.wait("report")

    service = Service(report)
    endpoint, call = service.call(0)

    async def cancel() -> None:
        await gate.begun.wait()
        call.cancel(cause)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        with pytest.raises(Cancelled if cause == "disconnect" else Unavailable):
            await endpoint.run(call)
    assert service.pipeline.threads.left == 1
    gate.opened.set()
    await until(lambda: service.pipeline.threads.left == 0)


async def test_a_thread_can_ask_whether_its_call_is_over() -> None:
    asked: list[BaseException] = []

    @operation(effect="read", thread=True, deadline=0.02)
    @plain("count")
    def count() -> int:
        number = 0
        while True:
            try:
                anyio.from_thread.check_cancelled()
            except BaseException as error:
                asked.append(error)
                raise
            number += 1

    service = Service(count)
    while not asked:
        with pytest.raises(DeadlineExceeded):
            await service.run(0)
        await until(lambda: service.pipeline.threads.left == 0)
    assert len(asked) == 1


async def test_calls_are_refused_while_every_thread_is_left_behind(gate: Gate) -> None:
    @operation(effect="read", thread=True, deadline=0.05)
    @plain("report")
    def report() -> str:
        return gate.wait("report")

    @operation(effect="read")
    @plain("inline")
    def inline() -> str:
        return "inline"

    @operation(effect="read", thread=True)
    @plain("count")
    def count() -> int:
        return 1

    service = Service(report, inline, count, config=OperationsConfig(max_threads=2))
    await past_deadline(service, 2)
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(Unavailable, match="every worker thread"):
            await service.run(2)
    assert threading.active_count() == before
    # What needs no thread is served.
    assert await service.run(1) == b'"inline"'
    gate.opened.set()
    await until(lambda: service.pipeline.threads.left == 0)
    assert await service.run(2) == b"1"


async def test_a_call_waits_for_a_thread_within_its_deadline(gate: Gate) -> None:
    threads = Threads(1)
    answers: list[Any] = []

    async def first() -> None:
        answers.append(await threads.run("first", gate.wait, "first"))

    async def second() -> None:
        answers.append(await threads.run("second", lambda *, name: name, name="second"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await gate.begun.wait()
        with anyio.move_on_after(0.02) as gave_up:
            await threads.run("never", gate.done.append, "never")
        assert gave_up.cancelled_caught
        assert threads.left == 0
        tasks.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        assert answers == []
        gate.opened.set()
    assert (answers, gate.done) == (["first", "second"], ["first"])


async def test_what_a_thread_that_was_left_raises_is_logged(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    @operation(name="shop.report", effect="read", thread=True, deadline=0.05)
    @plain("report")
    def report() -> str:
        gate.wait("report")
        raise LookupError("no such file")

    service = Service(report)
    await past_deadline(service)
    gate.opened.set()
    await until(lambda: service.pipeline.threads.left == 0)
    [record] = [each for each in caplog.records if each.exc_info]
    assert record.getMessage() == "shop.report failed after its call was over"
    assert record.levelno == logging.WARNING
    assert "no such file" in caplog.text


async def test_what_a_thread_raises_in_time_is_the_calls() -> None:
    threads = Threads(1)

    def fails() -> None:
        raise LookupError("no such file")

    for _ in range(3):
        with pytest.raises(LookupError):
            await threads.run("shop.report", fails)
    assert threads.left == 0


async def test_a_function_that_has_not_begun_never_does() -> None:
    done: list[str] = []
    work = _Work("shop.report", lambda: done.append("report"))
    assert work.leave(lambda: None) is False
    assert work() is None
    assert done == []


async def test_a_function_that_has_ended_is_not_left_behind() -> None:
    told: list[str] = []
    work = _Work("shop.report", lambda: "report")
    assert work() == "report"
    assert work.leave(lambda: told.append("left")) is False
    await anyio.wait_all_tasks_blocked()
    assert told == []


async def test_cancelled_at_any_moment_every_place_is_given_back() -> None:
    threads = Threads(2)
    done: list[int] = []

    async def run(number: int, after: float) -> None:
        with anyio.move_on_after(after):
            await threads.run("shop.count", done.append, number)

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(run, number, number % 20 / 2000)
    await until(lambda: threads.left == 0)
    assert len(done) == len(set(done))
    for _ in range(4):
        await threads.run("shop.count", done.append, -1)


async def test_how_many_are_left_is_a_metric(gate: Gate) -> None:
    seen: list[Operations] = []

    class Watched(Operations):
        def __init__(self, config: OperationsConfig) -> None:
            super().__init__(config)
            seen.append(self)

    async with run_kernel({"operations": Watched}):
        [metric] = seen[0].covet_metrics()
        threads = seen[0]._pipeline.threads
        assert (metric.name, list(metric.read())) == ("operations.threads.left", [((), 0)])
        await left_behind(threads, gate)
        assert list(metric.read()) == [((), 1)]
        gate.opened.set()
        await until(lambda: threads.left == 0)


async def test_threads_that_outlive_the_service_are_told_of(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Operations] = []

    class Watched(Operations):
        def __init__(self, config: OperationsConfig) -> None:
            super().__init__(config)
            seen.append(self)

    async with run_kernel({"operations": Watched}):
        await left_behind(seen[0]._pipeline.threads, gate)
    assert "1 worker threads still run handlers whose calls are over" in caplog.text
    gate.opened.set()
    await until(lambda: seen[0]._pipeline.threads.left == 0)
