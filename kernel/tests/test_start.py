"""Starting: in the order of the graph, concurrently, and rolled back if anything fails."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from covet_kernel import Context, Kernel, LifecycleError, flatten
from covet_kernel.contracts import Capability
from covet_kernel.testing import assembly_of, fake_plugin, run_kernel

A = Capability[str]("test.a")
B = Capability[str]("test.b")
C = Capability[str]("test.c")


async def fails(ctx: Context) -> None:
    await anyio.lowlevel.checkpoint()
    raise OSError(f"{ctx.name} cannot start")


async def test_what_is_required_is_up_first() -> None:
    journal: list[str] = []
    plugins = {
        "c": fake_plugin(requires=[B], journal=journal),
        "b": fake_plugin(requires=[A], provides={B: "b"}, journal=journal),
        "a": fake_plugin(provides={A: "a"}, journal=journal),
    }
    async with run_kernel(plugins) as kernel:
        assert journal == ["a starts", "a up", "b starts", "b up", "c starts", "c up"]
        assert list(kernel.assembly.nodes) == ["a", "b", "c"]


async def test_independent_plugins_start_concurrently() -> None:
    met = {"a": anyio.Event(), "b": anyio.Event()}

    async def meet(ctx: Context) -> None:
        met[ctx.name].set()
        await met["b" if ctx.name == "a" else "a"].wait()

    plugins = {"a": fake_plugin(start=meet), "b": fake_plugin(start=meet)}
    with anyio.fail_after(5):
        async with run_kernel(plugins) as kernel:
            assert {node.state for node in kernel.assembly.nodes.values()} == {"running"}


async def test_a_dependent_starts_as_soon_as_its_own_need_is_up() -> None:
    dependent_is_up = anyio.Event()

    async def wait_for_it(ctx: Context) -> None:
        await dependent_is_up.wait()

    async def tell(ctx: Context) -> None:
        dependent_is_up.set()

    plugins = {
        "slow": fake_plugin(start=wait_for_it),
        "a": fake_plugin(provides={A: "a"}),
        "b": fake_plugin(requires=[A], start=tell),
    }
    with anyio.fail_after(5):
        async with run_kernel(plugins):
            pass


async def test_a_start_that_fails_in_the_middle_is_rolled_back_in_reverse() -> None:
    journal: list[str] = []
    plugins = {
        "a": fake_plugin(provides={A: "a"}, journal=journal),
        "b": fake_plugin(requires=[A], provides={B: "b"}, journal=journal),
        "c": fake_plugin(requires=[B], provides={C: "c"}, start=fails, journal=journal),
        "d": fake_plugin(requires=[C], journal=journal),
    }
    kernel = Kernel(assembly_of(plugins))
    with pytest.raises(ExceptionGroup) as caught:
        async with kernel.running():
            raise AssertionError("the block runs although the start has failed")
    [error] = flatten(caught.value)
    assert isinstance(error, LifecycleError)
    assert error.code == "COVET-START-FAILED"
    assert error.problem == "c failed to start: OSError: c cannot start"
    assert "plugin c" in error.place
    assert isinstance(error.__cause__, OSError)
    assert journal == [
        *("a starts", "a up", "b starts", "b up", "c starts", "c down"),
        *("b stops", "b down", "a stops", "a down"),
    ]
    assert {name: node.state for name, node in kernel.assembly.nodes.items()} == {
        "a": "stopped",
        "b": "stopped",
        "c": "failed",
        "d": "waiting",
    }
    assert kernel.state == "stopped"
    assert kernel.provided == {}


async def test_a_failed_start_cancels_those_that_are_starting() -> None:
    journal: list[str] = []

    async def forever(ctx: Context) -> None:
        await anyio.sleep_forever()

    plugins = {
        "good": fake_plugin(start=forever, journal=journal),
        "bad": fake_plugin(start=fails, journal=journal),
    }
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    assert [leaf.code for leaf in flatten(caught.value)] == ["COVET-START-FAILED"]
    assert sorted(journal) == ["bad down", "bad starts", "good down", "good starts"]


async def test_failures_of_the_roll_back_are_reported_with_that_of_the_start() -> None:
    async def fails_too(ctx: Context) -> None:
        raise ValueError(f"{ctx.name} cannot stop")

    plugins = {
        "a": fake_plugin(provides={A: "a"}, stop=fails_too),
        "b": fake_plugin(requires=[A], provides={B: "b"}, stop=fails_too),
        "c": fake_plugin(requires=[B], start=fails),
    }
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    leaves: list[Any] = flatten(caught.value)
    assert [leaf.problem for leaf in leaves] == [
        "c failed to start: OSError: c cannot start",
        "b failed to stop: ValueError: b cannot stop",
        "a failed to stop: ValueError: a cannot stop",
    ]


async def test_several_starts_that_fail_at_once_are_all_reported() -> None:
    ready = anyio.Event()

    async def fails_together(ctx: Context) -> None:
        if ctx.name == "last":
            ready.set()
        with anyio.CancelScope(shield=True):
            await ready.wait()
        raise OSError(ctx.name)

    names = ["first", "second", "last"]
    plugins = {name: fake_plugin(start=fails_together) for name in names}
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    leaves: list[Any] = flatten(caught.value)
    assert sorted(leaf.problem.partition(" ")[0] for leaf in leaves) == sorted(names)


async def test_a_lifespan_that_does_not_yield_fails_the_start() -> None:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def covet_lifespan(self: Any, ctx: Context) -> Any:
        if ctx.name == "nobody":
            yield

    with pytest.raises(ExceptionGroup, match="a failed to start: RuntimeError"):
        async with run_kernel({"a": fake_plugin(covet_lifespan=covet_lifespan)}):
            pass


async def test_a_plugin_without_a_lifespan_is_up_at_once() -> None:
    from covet_kernel import Plugin

    class Bare(Plugin[None]):
        pass

    async with run_kernel({"bare": Bare}) as kernel:
        assert kernel.describe()["plugins"][0]["state"] == "running"


async def test_a_lifespan_that_swallows_its_cancellation_is_still_left() -> None:
    journal: list[str] = []
    swallowed = []

    async def stubborn(ctx: Context) -> None:
        with anyio.CancelScope() as scope:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class() as error:
                swallowed.append(error)
        assert not scope.cancel_called

    plugins = {
        "stubborn": fake_plugin(start=stubborn, journal=journal),
        "bad": fake_plugin(start=fails, journal=journal),
    }
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    assert len(swallowed) == 1
    assert [leaf.code for leaf in flatten(caught.value)] == ["COVET-START-FAILED"]
    assert journal.count("stubborn down") == 1


def test_a_kernel_may_be_made_where_no_event_loop_runs() -> None:
    kernel = Kernel(assembly_of({"a": fake_plugin()}))

    async def run() -> str:
        async with kernel.running():
            return kernel.state

    assert anyio.run(run) == "running"
