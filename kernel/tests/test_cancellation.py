"""The caller is cancelled at every turn of start, serving and stop: everything entered is left."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from covet_kernel import Context, Kernel, Serving
from covet_kernel.contracts import Capability
from covet_kernel.testing import (
    assembly_of,
    cancel_at_every_await,
    cancel_at_every_tick,
    fake_plugin,
)

A = Capability[str]("test.a")
B = Capability[str]("test.b")


async def pause(ctx: Context) -> None:
    await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()


class Bed:
    """A graph of plugins that await wherever they can, and what must hold after each run of it."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.kernel: Kernel | None = None
        self.runs = 0

    async def run(self) -> None:
        self.journal.clear()
        self.runs += 1
        common: dict[str, Any] = {"start": pause, "stop": pause, "journal": self.journal}
        plugins = {
            "a": fake_plugin(provides={A: "a"}, run=pause, **common),
            "b": fake_plugin(requires=[A], provides={B: "b"}, serve=self.serve, **common),
            "c": fake_plugin(requires=[B], **common),
            "d": fake_plugin(**common),
        }
        self.kernel = Kernel(assembly_of(plugins))
        async with self.kernel.running():
            await anyio.lowlevel.checkpoint()

    async def serve(self, serving: Serving) -> None:
        await serving.draining.wait()
        await anyio.lowlevel.checkpoint()

    async def check(self) -> None:
        # The plugins run in tasks of their own, but none of them outlives the kernel.
        count = Counter(self.journal)
        for name in "abcd":
            assert count[f"{name} starts"] == count[f"{name} down"] <= 1
            assert count[f"{name} up"] == count[f"{name} stops"] <= 1
        downs = [note[0] for note in self.journal if note.endswith("down")]
        assert [name for name in downs if name in "abc"] == sorted(
            (name for name in downs if name in "abc"), reverse=True
        )
        if self.kernel and self.kernel.state != "new":
            assert self.kernel.state == "stopped"
            assert self.kernel.provided == {}
            states = {node.state for node in self.kernel.assembly.nodes.values()}
            assert states <= {"stopped", "waiting"}


async def test_cancelled_at_every_await_of_the_caller() -> None:
    bed = Bed()
    with anyio.fail_after(30):
        awaits = await cancel_at_every_await(bed.run, check=bed.check)
    assert awaits >= 3, "start, block and stop each await"
    assert bed.runs == awaits + 1


async def test_cancelled_at_every_turn_of_the_event_loop() -> None:
    bed = Bed()
    with anyio.fail_after(30):
        turns = await cancel_at_every_tick(bed.run, check=bed.check)
    assert turns > 10
    assert bed.journal[-1] == "a down"


async def test_cancellation_reaches_the_caller() -> None:
    after = []
    with anyio.CancelScope() as scope:
        async with Kernel(assembly_of({"a": fake_plugin()})).running():
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        after.append("the block after the kernel")
    assert scope.cancelled_caught
    assert after == []


async def test_a_caller_that_is_cancelled_before_it_starts_leaves_nothing() -> None:
    journal: list[str] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with Kernel(assembly_of({"a": fake_plugin(start=pause, journal=journal)})).running():
            await anyio.sleep_forever()
    assert journal.count("a starts") == journal.count("a down")


async def test_stopping_is_shielded_from_a_caller_that_is_cancelled() -> None:
    stopped = []

    async def stop_slowly(ctx: Context) -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        stopped.append(ctx.name)

    plugins = {"a": fake_plugin(provides={A: 1}, stop=stop_slowly), "b": fake_plugin(requires=[A])}
    with anyio.CancelScope() as scope:
        async with Kernel(assembly_of(plugins)).running():
            scope.cancel()
    assert stopped == ["a"]


async def test_a_reload_cancelled_at_every_turn_is_whole_or_not_at_all() -> None:
    journal: list[str] = []

    def assembly(timeout: float) -> Any:
        plugins = {
            "a": fake_plugin(provides={A: "a"}, start=pause, stop=pause, journal=journal),
            "b": fake_plugin(requires=[A], start=pause, stop=pause, journal=journal),
        }
        return assembly_of(plugins, {"a": {"stop_timeout": timeout}})

    async def run() -> None:
        async with Kernel(assembly(1)).running() as kernel:
            await kernel.reload(assembly(2))
            await anyio.lowlevel.checkpoint()
            assert kernel.state == "running"

    async def check() -> None:
        count = Counter(journal)
        assert count["a starts"] == count["a down"]
        assert count["b starts"] == count["b down"]

    with anyio.fail_after(30):
        assert await cancel_at_every_tick(run, check=check) > 10


@pytest.mark.parametrize("backwards", [False, True])
async def test_many_plugins_cancelled_at_every_turn(backwards: bool) -> None:
    journal: list[str] = []
    tokens = [Capability[int](f"test.{number}") for number in range(6)]

    async def run() -> None:
        journal.clear()
        plugins = {}
        for number, token in enumerate(tokens):
            plugins[f"p{number}"] = fake_plugin(
                requires=tokens[:number][-2:],
                provides={token: number},
                start=pause,
                stop=pause,
                journal=journal,
            )
        order = reversed(plugins) if backwards else plugins
        async with Kernel(assembly_of({name: plugins[name] for name in order})).running():
            pass

    async def check() -> None:
        downs = [note.split()[0] for note in journal if note.endswith("down")]
        assert downs == sorted(downs, reverse=True)
        assert sorted(downs) == sorted(
            note.split()[0] for note in journal if note.endswith("starts")
        )

    with anyio.fail_after(30):
        assert await cancel_at_every_tick(run, check=check) > 12
