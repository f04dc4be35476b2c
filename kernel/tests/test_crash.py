"""A plugin that crashes stops the kernel in order, whatever else is going on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import anyio
import pytest

from covet_kernel import Context, Kernel, Serving, flatten
from covet_kernel.contracts import Capability
from covet_kernel.testing import assembly_of, fake_plugin, run_kernel

A = Capability[str]("test.a")
B = Capability[str]("test.b")


class Boom(Exception):
    """What a crashing plugin raises."""


def crash_on(event: anyio.Event) -> Any:
    async def crash(ctx: Context) -> None:
        await event.wait()
        raise Boom(ctx.name)

    return crash


def codes(group: BaseException) -> list[str]:
    return sorted(getattr(leaf, "code", repr(leaf)) for leaf in flatten(group))


async def test_a_crash_cancels_the_block_and_stops_the_others_in_order() -> None:
    journal: list[str] = []
    now = anyio.Event()
    plugins = {
        "a": fake_plugin(provides={A: "a"}, run=crash_on(now), journal=journal),
        "b": fake_plugin(requires=[A], provides={B: "b"}, journal=journal),
        "c": fake_plugin(requires=[B], journal=journal),
    }
    left = False
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            journal.clear()
            now.set()
            try:
                await anyio.sleep_forever()
            finally:
                left = True
    assert left
    [error] = flatten(caught.value)
    assert error.code == "COVET-RUN-FAILED"
    assert error.problem == "a crashed: Boom: a"
    assert "plugin a" in error.place
    assert isinstance(error.__cause__, Boom)
    # The crash takes a down at once; b and c, which need it, still stop in order.
    assert [note for note in journal if note[0] != "a"] == [
        "c stops",
        "c down",
        "b stops",
        "b down",
    ]
    assert journal.count("a down") == 1


async def test_the_others_are_shielded_from_the_crash() -> None:
    now = anyio.Event()
    cleaned = []

    async def clean_up(ctx: Context) -> None:
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        cleaned.append(ctx.name)

    plugins = {
        "bad": fake_plugin(run=crash_on(now)),
        "good": fake_plugin(stop=clean_up),
    }
    with anyio.fail_after(5), pytest.raises(ExceptionGroup):
        async with run_kernel(plugins):
            now.set()
            await anyio.sleep_forever()
    assert cleaned == ["good"]


async def test_several_that_crash_at_once_are_all_reported() -> None:
    now = anyio.Event()
    plugins = {name: fake_plugin(run=crash_on(now)) for name in ("a", "b", "c")}
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            now.set()
            await anyio.sleep_forever()
    assert sorted(leaf.problem for leaf in flatten(caught.value)) == [
        "a crashed: Boom: a",
        "b crashed: Boom: b",
        "c crashed: Boom: c",
    ]


async def test_several_tasks_of_one_plugin_that_crash_are_all_reported() -> None:
    async def crash_twice(ctx: Context) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shielded_crash, "one")
            tasks.start_soon(shielded_crash, "two")

    async def shielded_crash(name: str) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
        raise Boom(name)

    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel({"a": fake_plugin(run=crash_twice)}):
            await anyio.sleep_forever()
    assert sorted(leaf.problem for leaf in flatten(caught.value)) == [
        "a crashed: Boom: one",
        "a crashed: Boom: two",
    ]


async def test_a_crash_while_another_starts_rolls_back() -> None:
    journal: list[str] = []
    now = anyio.Event()

    async def start_slowly(ctx: Context) -> None:
        now.set()
        await anyio.sleep_forever()

    plugins = {
        "a": fake_plugin(provides={A: "a"}, run=crash_on(now), journal=journal),
        "b": fake_plugin(requires=[A], start=start_slowly, journal=journal),
    }
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            raise AssertionError("the block runs although a plugin has crashed")
    assert codes(caught.value) == ["COVET-RUN-FAILED"]
    assert journal.count("b down") == journal.count("a down") == 1


async def test_a_crash_while_another_stops_is_reported_and_stopping_goes_on() -> None:
    journal: list[str] = []
    now, crashed = anyio.Event(), anyio.Event()

    async def crash(ctx: Context) -> None:
        await now.wait()
        crashed.set()
        raise Boom(ctx.name)

    async def stop_during_the_crash(ctx: Context) -> None:
        now.set()
        await crashed.wait()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()

    plugins = {
        "a": fake_plugin(provides={A: "a"}, journal=journal),
        "b": fake_plugin(requires=[A], provides={B: "b"}, run=crash, journal=journal),
        "c": fake_plugin(requires=[B], stop=stop_during_the_crash, journal=journal),
    }
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    assert codes(caught.value) == ["COVET-RUN-FAILED"]
    assert sorted(note for note in journal if note.endswith("down")) == [
        "a down",
        "b down",
        "c down",
    ]
    assert journal[-1] == "a down"


async def test_a_crash_while_draining_is_reported_and_the_drain_goes_on() -> None:
    journal: list[str] = []
    now, crashed = anyio.Event(), anyio.Event()

    async def crash(ctx: Context) -> None:
        await now.wait()
        crashed.set()
        raise Boom(ctx.name)

    async def finish_calls(serving: Serving) -> None:
        await serving.draining.wait()
        now.set()
        await crashed.wait()
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        journal.append("answered")

    plugins = {
        "bad": fake_plugin(run=crash),
        "server": fake_plugin(serve=finish_calls, journal=journal),
    }
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    assert codes(caught.value) == ["COVET-RUN-FAILED"]
    assert journal.index("answered") < journal.index("server stops")


async def test_a_serve_function_that_raises_is_a_crash() -> None:
    async def serve(serving: Serving) -> None:
        raise Boom("cannot accept")

    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel({"server": fake_plugin(serve=serve)}):
            await anyio.sleep_forever()
    [error] = flatten(caught.value)
    assert error.code == "COVET-RUN-FAILED"
    assert error.problem == "server crashed: Boom: cannot accept"


async def test_a_crash_reaches_who_sleeps_in_a_nested_task_group() -> None:
    now = anyio.Event()
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with (
            run_kernel({"a": fake_plugin(run=crash_on(now))}),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(anyio.sleep_forever)
            now.set()
    assert codes(caught.value) == ["COVET-RUN-FAILED"]


async def test_a_crash_while_the_caller_is_cancelled_is_reported() -> None:
    now = anyio.Event()
    kernel = Kernel(assembly_of({"a": fake_plugin(stop=crash_on(now))}))
    with anyio.CancelScope() as scope:
        with pytest.raises(ExceptionGroup) as caught:
            async with kernel.running():
                now.set()
                scope.cancel()
                await anyio.sleep_forever()
        assert codes(caught.value) == ["COVET-STOP-FAILED"]
    assert kernel.state == "stopped"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("when", ["start", "run", "stop"])
def test_what_ends_the_process_comes_out_and_everything_is_left(
    anyio_backend: str, when: str, error: type[BaseException]
) -> None:
    journal: list[str] = []

    async def interrupt(ctx: Context) -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    plugins: dict[str, Any] = {
        "good": fake_plugin(provides={A: "a"}, journal=journal),
        "bad": fake_plugin(requires=[A], journal=journal, **{when: interrupt}),
    }

    async def main() -> None:
        async with run_kernel(plugins):
            if when == "run":
                await anyio.sleep_forever()

    with pytest.raises((error, BaseExceptionGroup)) as caught:
        anyio.run(main, backend=anyio_backend)
    assert [type(leaf) for leaf in flatten(caught.value)] == [error]
    assert journal.count("good down") == journal.count("good starts") == 1
    assert journal.count("bad down") == journal.count("bad starts") == 1


ENDS_AT_ONCE = """
import sys
import anyio
from covet_kernel.testing import fake_plugin, run_kernel

async def end(ctx):
    raise SystemExit(7)

async def main():
    async with run_kernel({"bad": fake_plugin(start=end), "late": fake_plugin()}):
        await anyio.sleep_forever()

try:
    anyio.run(main, backend=sys.argv[1])
except BaseExceptionGroup as group:
    [error] = group.exceptions
    raise error
"""


def test_the_end_of_the_process_does_not_wait_for_tasks_that_never_ran(anyio_backend: str) -> None:
    # In a process of its own, since asyncio lets a task that raised this haunt its loop.
    command = [sys.executable, "-c", ENDS_AT_ONCE, anyio_backend]
    assert subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 7
