"""The kit itself: cancelling at every await, leak checks, kernels of given classes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest

from covet_kernel import Context
from covet_kernel.contracts import Capability
from covet_kernel.testing import (
    LeakError,
    assembly_of,
    cancel_at_every_await,
    cancel_at_every_tick,
    fake_plugin,
    run_kernel,
)
from covet_kernel.testing._leaks import Snapshot, check_tasks, tasks_now

A = Capability[str]("test.a")


async def test_a_coroutine_is_cancelled_at_each_of_its_awaits() -> None:
    reached: list[int] = []
    checks: list[int] = []

    async def work() -> None:
        for number in range(3):
            reached.append(number)
            await anyio.lowlevel.checkpoint()
        reached.append(3)

    async def check() -> None:
        checks.append(len(reached))

    assert await cancel_at_every_await(work, check=check) == 3
    assert reached == [0, 0, 1, 0, 1, 2, 0, 1, 2, 3]
    assert checks == [1, 3, 6, 10]


async def test_waiting_for_an_event_is_an_await_too() -> None:
    outcomes: list[str] = []

    async def work() -> None:
        event = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(set_soon, event)
            try:
                await event.wait()
                outcomes.append("set")
            except anyio.get_cancelled_exc_class():
                outcomes.append("cancelled")
                raise

    async def set_soon(event: anyio.Event) -> None:
        await anyio.lowlevel.checkpoint()
        event.set()

    assert await cancel_at_every_await(work) >= 1
    assert outcomes[0] == "cancelled"
    assert outcomes[-1] == "set"


async def test_a_shielded_await_is_passed_over() -> None:
    done: list[bool] = []

    async def work() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
        done.append(True)

    assert await cancel_at_every_await(work) == 1
    assert done == [True, True]


async def test_what_the_work_raises_comes_out() -> None:
    async def work() -> None:
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            raise KeyError("found")

    for cancel in (cancel_at_every_await, cancel_at_every_tick):
        with pytest.raises(KeyError, match="found"):
            await cancel(work)


async def test_a_failed_check_comes_out() -> None:
    async def check() -> None:
        raise AssertionError("something is left")

    for cancel in (cancel_at_every_await, cancel_at_every_tick):
        with pytest.raises(AssertionError, match="something is left"):
            await cancel(anyio.lowlevel.checkpoint, check=check)


async def test_work_that_awaits_nothing_is_run_once() -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)

    assert await cancel_at_every_await(work) == 0
    assert runs == [1]


async def test_cancelling_at_every_turn_reaches_other_tasks() -> None:
    cancelled: set[int] = set()

    async def child() -> None:
        for number in range(4):
            try:
                await anyio.lowlevel.checkpoint()
            except anyio.get_cancelled_exc_class():
                cancelled.add(number)
                raise

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)

    assert await cancel_at_every_tick(work) >= 4
    # trio shuffles whose turn it is, so one await or another may be passed over.
    assert len(cancelled) >= 2


async def test_the_outer_cancellation_ends_it() -> None:
    with anyio.move_on_after(0.05) as scope:
        await cancel_at_every_await(anyio.sleep_forever)
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_task_that_runs_on_is_found() -> None:
    async with anyio.create_task_group() as tasks:
        before = tasks_now()
        tasks.start_soon(anyio.sleep_forever, name="left over")
        with pytest.raises(LeakError, match="left over"):
            await check_tasks(before)
        tasks.cancel_scope.cancel()


async def test_a_task_that_is_about_to_end_is_no_leak() -> None:
    async with anyio.create_task_group() as tasks:
        before = tasks_now()
        tasks.start_soon(anyio.lowlevel.checkpoint)
        await check_tasks(before)


def test_a_descriptor_left_open_is_found() -> None:
    snapshot = Snapshot()
    snapshot.check()
    reading, writing = os.pipe()
    with pytest.raises(LeakError, match="pipe"):
        snapshot.check()
    os.close(reading)
    os.close(writing)
    snapshot.check()


def test_a_thread_that_goes_back_to_its_pool_is_not_left_over() -> None:
    snapshot, end = Snapshot(), threading.Event()

    def work() -> None:
        time.sleep(0.1)
        threading.current_thread().name = "Trio thread 7"  # as its pool calls those that wait
        end.wait(20)

    thread = threading.Thread(target=work, name="a job's name")
    thread.start()
    snapshot.check()
    end.set()
    thread.join()


def test_a_thread_left_running_is_found() -> None:
    snapshot, end = Snapshot(), threading.Event()
    thread = threading.Thread(target=end.wait, name="left over")
    thread.start()
    with pytest.raises(LeakError, match="left over"):
        snapshot.check()
    end.set()
    snapshot.check()


LEAKING = """
import os, threading
import anyio
import pytest

kept = []

async def test_good():
    await anyio.lowlevel.checkpoint()

@pytest.fixture
def pipe():
    made = []
    yield lambda: made.extend(os.pipe())
    for number in made:
        os.close(number)

async def test_closed_by_its_fixture(pipe):
    pipe()

async def test_descriptor():
    kept.extend(os.pipe())

async def test_task(anyio_backend_name):
    if anyio_backend_name == "asyncio":
        import asyncio
        kept.append(asyncio.create_task(asyncio.sleep(30), name="left over"))
    else:
        import trio
        trio.lowlevel.spawn_system_task(trio.sleep, 30, name="left over")

async def test_failed_and_leaking():
    kept.extend(os.pipe())
    raise KeyError("its own failure")

def test_not_async():
    kept.extend(os.pipe())
"""


def test_the_pytest_plugin_fails_tests_that_leak(tmp_path: Path) -> None:
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-rA",
            "--tb=line",
            "-k",
            "not trio",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    outcomes = {
        words[1].rpartition("::")[2]: words[0]
        for words in (line.split() for line in done.stdout.splitlines())
        if words and words[0] in ("PASSED", "FAILED", "ERROR") and "::" in words[-1] + words[1]
    }
    assert outcomes == {
        "test_good[asyncio]": "PASSED",
        "test_closed_by_its_fixture[asyncio]": "PASSED",
        "test_descriptor[asyncio]": "ERROR",
        "test_task[asyncio]": "FAILED",
        "test_failed_and_leaking[asyncio]": "FAILED",
        "test_not_async": "PASSED",
    }
    assert "its own failure" in done.stdout


async def test_a_fake_plugin_provides_and_notes() -> None:
    journal: list[str] = []
    seen: list[str] = []

    async def look(ctx: Context) -> None:
        seen.append(ctx.require(A))

    plugins = {
        "a": fake_plugin(provides={A: "value"}, journal=journal),
        "b": fake_plugin(requires=[A], start=look, journal=journal),
    }
    async with run_kernel(plugins) as kernel:
        assert kernel.require(A) == "value"
    assert seen == ["value"]
    assert journal[:4] == ["a starts", "a up", "b starts", "b up"]


def test_a_type_is_enabled_once_unless_its_instances_are_named(tmp_path: Path) -> None:
    plugins = {"a": fake_plugin(), "b": fake_plugin()}
    assembly = assembly_of(
        plugins, {"a/one": {}, "a/two": {}}, directory=tmp_path, kernel={"stop_timeout": 3}
    )
    assert sorted(assembly.nodes) == ["a/one", "a/two", "b"]
    assert assembly.settings.directory == tmp_path
    assert assembly.kernel.stop_timeout == 3
