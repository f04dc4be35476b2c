"""Reload: what changed is replaced, the rest is untouched, and a failure restores what was."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import anyio
import pytest

from covet_kernel import (
    Assembly,
    ConfigurationError,
    Context,
    Kernel,
    LifecycleError,
    Plugin,
    PluginConfig,
    Serving,
    flatten,
)
from covet_kernel.contracts import Capability, Operation
from covet_kernel.testing import assembly_of, fake_plugin, run_kernel

SHOP = Capability["Shop"]("test.shop")
GATE = Capability["Gate"]("test.gate")


class ShopConfig(PluginConfig):
    """What a reload changes."""

    version: int = 1
    fails: str = ""


class Shop(Plugin[ShopConfig]):
    """Declares two operations that tell its version, and fails where its configuration says."""

    provides = (SHOP,)
    open = False

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        await anyio.lowlevel.checkpoint()
        if self.config.fails == "start":
            raise OSError("the shop does not open")
        ctx.provide(SHOP, self)
        ctx.compile(self.compile)
        self.open = True
        try:
            yield
        finally:
            self.open = False
            await anyio.lowlevel.checkpoint()
            if self.config.fails == "stop":
                raise OSError("the shop does not close")

    def compile(self, serving: Serving) -> None:
        if self.config.fails == "compile":
            raise ConfigurationError("TEST-COMPILE", "the shop's operations do not compile.")

    def covet_operations(self) -> list[Operation]:
        if self.config.fails == "collect":
            raise OSError("the shop's operations cannot be told")
        return [Operation(name=name, handler=self.tell) for name in ("first", "second")]

    def tell(self) -> int:
        assert self.open, "a call reached a plugin that is not running"
        return self.config.version


class Gate(Plugin[None]):
    """A transport without a wire: calls wait while no phase serves, and finish in the one they began."""

    provides = (GATE,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        self.lives = getattr(self, "lives", 0) + 1
        self.phases: list[int] = []
        self.in_flight = 0
        self.idle = self.opened = anyio.Event()
        ctx.provide(GATE, self)
        ctx.compile(self.compile)
        ctx.serve(self.serve)
        yield

    def compile(self, serving: Serving) -> None:
        self.next = [operation.handler for operation in serving.operations]

    async def serve(self, serving: Serving) -> None:
        self.handlers = self.next
        self.phases.append(serving.number)
        self.opened.set()
        await serving.draining.wait()
        self.opened = anyio.Event()
        while self.in_flight:
            self.idle = anyio.Event()
            await self.idle.wait()

    async def call(self) -> list[int]:
        while not self.opened.is_set():
            await self.opened.wait()
        self.in_flight += 1
        try:
            answers = []
            for position in range(len(self.handlers)):
                answers.append(self.handlers[position]())
                await anyio.lowlevel.checkpoint()
            return answers
        finally:
            self.in_flight -= 1
            self.idle.set()


PLUGINS: dict[str, Any] = {"shop": Shop, "gate": Gate}


def shop(classes: dict[str, Any] | None = None, **config: Any) -> Assembly:
    """The shop and its gate, and whatever else is given."""
    return assembly_of({**PLUGINS, **(classes or {})}, {"shop": config})


def codes(group: BaseException) -> list[str]:
    return [getattr(leaf, "code", repr(leaf)) for leaf in flatten(group)]


async def test_only_what_changed_is_replaced() -> None:
    async with Kernel(shop()).running() as kernel:
        gate, before = kernel.require(GATE), kernel.require(SHOP)
        assert await gate.call() == [1, 1]
        assert await kernel.reload(shop(version=2)) == ["shop"]
        assert kernel.require(GATE) is gate
        assert gate.lives == 1
        assert kernel.require(SHOP) is not before
        assert not before.open
        assert await gate.call() == [2, 2]
        assert gate.phases == [1, 2]
        assert kernel.state == "running"


async def test_a_reload_without_changes_stops_nothing() -> None:
    async with Kernel(shop()).running() as kernel:
        before = kernel.require(SHOP)
        assert await kernel.reload(shop()) == []
        assert kernel.require(SHOP) is before
        assert await kernel.require(GATE).call() == [1, 1]


async def test_what_depends_on_the_changed_is_replaced_too_in_order() -> None:
    journal: list[str] = []
    more = {
        "clerk": fake_plugin(requires=[SHOP], journal=journal),
        "stranger": fake_plugin(journal=journal),
    }
    async with Kernel(shop(more)).running() as kernel:
        journal.clear()
        assert await kernel.reload(shop(more, version=2)) == ["clerk", "shop"]
        assert journal == ["clerk stops", "clerk down", "clerk starts", "clerk up"]


async def test_plugins_come_and_go() -> None:
    journal: list[str] = []
    extra = {"extra": fake_plugin(requires=[SHOP], journal=journal)}
    async with Kernel(shop()).running() as kernel:
        before = kernel.require(SHOP)
        assert await kernel.reload(shop(extra)) == ["extra"]
        assert journal == ["extra starts", "extra up"]
        assert await kernel.reload(shop()) == ["extra"]
        assert journal[2:] == ["extra stops", "extra down"]
        assert kernel.require(SHOP) is before
        assert [plugin["name"] for plugin in kernel.describe()["plugins"]] == ["shop", "gate"]


async def test_hooks_of_replaced_instances_are_heard_no_more() -> None:
    heard: list[tuple[int, str]] = []

    class Listener(Plugin[ShopConfig]):
        def covet_event(self, event: Any) -> None:
            heard.append((self.config.version, event.name))

    def listening(version: int) -> Assembly:
        return assembly_of({"listener": Listener}, {"listener": {"version": version}})

    async with Kernel(listening(1)).running() as kernel:
        await kernel.reload(listening(2))
        heard.clear()
    assert {version for version, _ in heard} == {2}
    assert "kernel.stopped" in [name for _, name in heard]


async def test_under_load_no_call_fails_or_sees_a_mix() -> None:
    answers: list[list[int]] = []
    done = anyio.Event()

    async def call_on_and_on(gate: Gate) -> None:
        while not done.is_set():
            answers.append(await gate.call())

    with anyio.fail_after(30):
        async with Kernel(shop()).running() as kernel, anyio.create_task_group() as tasks:
            gate = kernel.require(GATE)
            for _ in range(8):
                tasks.start_soon(call_on_and_on, gate)
            for version in (2, 3, 4, 5):
                await kernel.reload(shop(version=version))
                answered = len(answers)
                while len(answers) < answered + 20:
                    await anyio.lowlevel.checkpoint()
                assert answers[-1] == [version, version]
            done.set()
    assert {tuple(answer) for answer in answers} <= {(n, n) for n in range(1, 6)}


@pytest.mark.parametrize(
    ("fails", "code"),
    [
        ("start", "COVET-START-FAILED"),
        ("compile", "TEST-COMPILE"),
        ("collect", "COVET-HOOK-FAILED"),
    ],
)
async def test_a_failed_reload_restores_what_was(fails: str, code: str) -> None:
    journal: list[str] = []
    more = {
        "clerk": fake_plugin(requires=[SHOP], journal=journal),
        "stranger": fake_plugin(journal=journal),
    }
    with anyio.fail_after(10):
        async with Kernel(shop(more)).running() as kernel:
            with pytest.raises(ExceptionGroup) as caught:
                await kernel.reload(shop(more, version=2, fails=fails))
            assert codes(caught.value) == [code]
            assert kernel.state == "running"
            assert kernel.require(SHOP).open
            assert await kernel.require(GATE).call() == [1, 1]
            assert not [note for note in journal if note.startswith("stranger s")][1:]
            # And the next reload may succeed.
            assert await kernel.reload(shop(more, version=3)) == ["clerk", "shop"]
            assert await kernel.require(GATE).call() == [3, 3]
    assert journal.count("clerk starts") == journal.count("clerk down")


async def test_a_reload_that_does_not_assemble_touches_nothing() -> None:
    async with Kernel(shop()).running() as kernel:
        before = kernel.require(SHOP)
        with pytest.raises(ExceptionGroup) as caught:
            await kernel.reload(shop(version="two"))
        assert codes(caught.value) == ["COVET-CONFIG-VALUE"]
        assert kernel.require(SHOP) is before
        assert await kernel.require(GATE).call() == [1, 1]


async def test_a_stop_that_fails_during_a_reload_restores_what_was() -> None:
    with anyio.fail_after(10):
        async with Kernel(shop(fails="stop")).running() as kernel:
            with pytest.raises(ExceptionGroup) as caught:
                await kernel.reload(shop(version=2))
            assert codes(caught.value) == ["COVET-STOP-FAILED"]
            assert await kernel.require(GATE).call() == [1, 1]
            assert kernel.state == "running"
            # The restored instance closes as badly as the former one; let the next one be good.
            with pytest.raises(ExceptionGroup):
                await kernel.reload(shop(version=3))
            kernel.require(SHOP).config.__dict__["fails"] = ""


async def test_what_can_be_neither_replaced_nor_restored_stops_the_kernel() -> None:
    starts = 0

    async def starts_once(ctx: Context) -> None:
        nonlocal starts
        starts += 1
        if starts > 1:
            raise OSError("once is enough")

    plugins = {"shop": Shop, "once": fake_plugin(requires=[SHOP], start=starts_once)}

    def assembly(version: int) -> Assembly:
        return assembly_of(plugins, {"shop": {"version": version}})

    kernel = Kernel(assembly(1))
    with anyio.fail_after(10), pytest.raises(ExceptionGroup) as caught:
        async with kernel.running():
            with pytest.raises(ExceptionGroup):
                await kernel.reload(assembly(2))
            await anyio.sleep_forever()
    assert set(codes(caught.value)) == {"COVET-START-FAILED"}
    assert starts == 3
    assert kernel.state == "stopped"


async def test_a_crash_of_an_unaffected_plugin_during_a_reload_stops_the_kernel() -> None:
    now = anyio.Event()

    async def crash(ctx: Context) -> None:
        await now.wait()
        raise ValueError("a bad moment")

    async def start_slowly(ctx: Context) -> None:
        if ctx.require(SHOP).config.version == 2:
            now.set()
            for _ in range(10):
                await anyio.lowlevel.checkpoint()

    more = {
        "bystander": fake_plugin(run=crash),
        "clerk": fake_plugin(requires=[SHOP], start=start_slowly),
    }
    kernel = Kernel(shop(more))
    with anyio.fail_after(10), pytest.raises(ExceptionGroup) as caught:
        async with kernel.running():
            with pytest.raises(ExceptionGroup):
                await kernel.reload(shop(more, version=2))
            await anyio.sleep_forever()
    assert "COVET-RUN-FAILED" in codes(caught.value)
    assert kernel.state == "stopped"


async def test_a_reload_is_finished_although_the_caller_is_cancelled() -> None:
    async with Kernel(shop()).running() as kernel:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await kernel.reload(shop(version=2))
        assert await kernel.require(GATE).call() == [2, 2]


async def test_leaving_the_block_during_a_reload_waits_for_its_end() -> None:
    journal: list[str] = []
    stopping = anyio.Event()
    failed: list[BaseException] = []

    async def stop_slowly(ctx: Context) -> None:
        stopping.set()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()

    more = {"clerk": fake_plugin(requires=[SHOP], stop=stop_slowly, journal=journal)}
    kernel = Kernel(shop(more))

    async def reload() -> None:
        try:
            await kernel.reload(shop(more, version=2))
        except Exception as error:
            failed.append(error)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, kernel.running():
            tasks.start_soon(reload)
            await stopping.wait()
    assert failed == []
    assert kernel.state == "stopped"
    assert kernel.provided == {}
    assert journal.count("clerk starts") == journal.count("clerk down") == 2
    assert {node.state for node in kernel.assembly.nodes.values()} == {"stopped"}


@pytest.mark.parametrize("state", ["new", "reloading", "stopped"])
async def test_only_a_running_kernel_reloads(state: str) -> None:
    kernel = Kernel(shop())
    refused: list[str] = []

    async def reload() -> None:
        try:
            await kernel.reload(shop(version=2))
        except LifecycleError as error:
            refused.append(error.code)
            assert state in error.problem

    if state == "new":
        await reload()
    async with kernel.running():
        if state == "reloading":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(reload)
                tasks.start_soon(reload)
    if state == "stopped":
        await reload()
    assert refused == ["COVET-RELOAD-STATE"]


async def test_a_call_in_flight_finishes_in_the_phase_it_began_in() -> None:
    inside, go_on = anyio.Event(), anyio.Event()
    seen: list[int] = []

    async def serve(serving: Serving) -> None:
        if serving.number == 1:
            inside.set()
            await go_on.wait()
        seen.append(serving.number)
        await serving.draining.wait()

    slow = {"slow": fake_plugin(serve=serve)}
    with anyio.fail_after(10):
        async with run_kernel({**PLUGINS, **slow}) as kernel, anyio.create_task_group() as tasks:
            await inside.wait()
            tasks.start_soon(
                kernel.reload, assembly_of({**PLUGINS, **slow}, {"shop": {"version": 2}})
            )
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            assert kernel.require(SHOP).config.version == 1
            go_on.set()
    assert seen == [1, 2]


async def test_modules_that_come_and_go_reach_every_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("module_one", "module_two"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))

    class Reader(Plugin[None]):
        @asynccontextmanager
        async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
            seen.append([module.__name__ for module in ctx.modules])
            yield

    seen: list[list[str]] = []

    def assembly(*modules: str) -> Assembly:
        return assembly_of({"reader": Reader}, app={"modules": list(modules)})

    async with Kernel(assembly("module_one")).running() as kernel:
        assert "reader" in await kernel.reload(assembly("module_one", "module_two"))
        assert "reader" in await kernel.reload(assembly())
        assert await kernel.reload(assembly()) == []
    assert seen == [["module_one"], ["module_one", "module_two"], []]


async def test_force_ends_a_reload_that_cannot_be_undone_either() -> None:
    starts: list[anyio.Event] = [anyio.Event(), anyio.Event()]

    class Stuck(Plugin[ShopConfig]):
        """Starts once and never again."""

        @asynccontextmanager
        async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
            again = starts[0].is_set()
            starts[again].set()
            if again:
                await anyio.sleep_forever()
            yield

    def assembly(version: int) -> Assembly:
        return assembly_of({"stuck": Stuck}, {"stuck": {"version": version}})

    kernel = Kernel(assembly(1))

    async def reload() -> None:
        with pytest.raises(ExceptionGroup, match="the kernel stops"):
            await kernel.reload(assembly(2))

    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as tasks, kernel.running():
            tasks.start_soon(reload)
            await starts[1].wait()
            kernel.force()
            await anyio.sleep_forever()
    # On a slow machine what is forced may not have stopped by the next look either.
    assert "COVET-START-TIMEOUT" in codes(caught.value)
    assert set(codes(caught.value)) <= {"COVET-START-TIMEOUT", "COVET-STOP-TIMEOUT"}
