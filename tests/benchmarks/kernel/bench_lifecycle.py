"""Start and stop of 100 plugins against 100 components of asphalt, in a chain and in a fan.

In a chain each needs what the one before provides; in a fan 99 need what the first provides. Both
sides do the idiomatic thing: a plugin requires and provides capabilities and its lifespan closes
what it opened; a component requests and adds resources and tears down when its context closes.

Opening takes no turn of the event loop, or one, as for anything that reads a file or a socket: then
asphalt's components have to wait for each other, which it does by telling all who wait of every
resource. asphalt runs on asyncio only, so it is the peer of both of our backends.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from time import perf_counter
from typing import Any

import anyio
import anyio.lowlevel
from asphalt.core import Component, ContainerComponent, Context, context_teardown
from benchmarks.measure import Comparison, interleaved, report

from covet_kernel import Context as PluginContext
from covet_kernel import Kernel, Plugin, Settings, assemble
from covet_kernel.contracts import Capability

COUNT = 100
SHAPES: dict[str, Callable[[int], int]] = {"chain": lambda number: number - 1, "fan": lambda _: 0}
"""Which one the plugin ``number`` needs; the first needs none."""


class Thing:
    """What is provided: it remembers whether it is open, and what it was made on."""

    def __init__(self, needed: Thing | None) -> None:
        self.needed = needed
        self.open = True


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        shape: One of `SHAPES`.
        suspends: Whether opening and closing take a turn of the event loop.
        assembly: Whether making the plugins or components counts.
    """

    shape: str
    suspends: bool
    assembly: bool

    def __str__(self) -> str:
        what = "assembly + start + stop" if self.assembly else "start + stop"
        return f"{what} of {COUNT} in a {self.shape}, " + (
            "opening in one turn of the loop" if self.suspends else "opening at once"
        )


def plugins(setting: Setting) -> tuple[dict[str, type[Plugin[Any]]], list[Capability[Thing]]]:
    tokens = [Capability[Thing](f"bench.thing{number}") for number in range(COUNT)]

    def plugin(number: int) -> type[Plugin[Any]]:
        token = tokens[number]
        needed = tokens[SHAPES[setting.shape](number)] if number else None

        class Link(Plugin[None]):
            requires = (needed,) if needed else ()
            provides = (token,)

            @asynccontextmanager
            async def covet_lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
                thing = Thing(ctx.require(needed) if needed else None)
                if setting.suspends:
                    await anyio.lowlevel.checkpoint()
                ctx.provide(token, thing)
                yield
                if setting.suspends:
                    await anyio.lowlevel.checkpoint()
                thing.open = False

        return Link

    return {f"p{number}": plugin(number) for number in range(COUNT)}, tokens


async def run_kernel(setting: Setting) -> float:
    classes, tokens = plugins(setting)
    gc.collect()
    begun = perf_counter()
    settings = Settings()
    settings.put((), {"plugins": {name: {} for name in classes}}, "benchmark")
    kernel = Kernel(assemble(settings, classes))
    if not setting.assembly:
        gc.collect()
        begun = perf_counter()
    async with kernel.running():
        things = [kernel.require(token) for token in tokens]
        assert all(thing.open for thing in things)
    taken = perf_counter() - begun
    assert not any(thing.open for thing in things)
    return taken


class Link(Component):
    def __init__(self, number: int, setting: Setting) -> None:
        self.name = f"thing{number}"
        self.needed = f"thing{SHAPES[setting.shape](number)}" if number else ""
        self.suspends = setting.suspends

    @context_teardown
    async def start(self, ctx: Context) -> AsyncGenerator[None, Exception | None]:
        thing = Thing(await ctx.request_resource(Thing, self.needed) if self.needed else None)
        if self.suspends:
            await anyio.lowlevel.checkpoint()
        ctx.add_resource(thing, self.name)
        yield
        if self.suspends:
            await anyio.lowlevel.checkpoint()
        thing.open = False


async def run_asphalt(setting: Setting) -> float:
    gc.collect()
    begun = perf_counter()
    root = ContainerComponent()
    for number in range(COUNT):
        root.add_component(f"p{number}", Link, number=number, setting=setting)
    if not setting.assembly:
        gc.collect()
        begun = perf_counter()
    async with Context() as context:
        await root.start(context)
        things = [context.require_resource(Thing, f"thing{number}") for number in range(COUNT)]
        assert all(thing.open for thing in things)
    taken = perf_counter() - begun
    assert not any(thing.open for thing in things)
    return taken


def milliseconds(run: Callable[[], Awaitable[float]], backend: str) -> float:
    return 1e3 * anyio.run(run, backend=backend)


def test_lifecycle() -> None:
    logging.disable(logging.INFO)
    for assembly, suspends, shape in product((False, True), (False, True), SHAPES):
        setting = Setting(shape, suspends, assembly)
        ours, theirs = partial(run_kernel, setting), partial(run_asphalt, setting)
        samples = interleaved(
            {
                "covet, asyncio": partial(milliseconds, ours, "asyncio"),
                "covet, trio": partial(milliseconds, ours, "trio"),
                "asphalt, asyncio": partial(milliseconds, theirs, "asyncio"),
            },
            30,
            warm_up=3,
        )
        report(
            str(setting),
            samples,
            [
                Comparison("asyncio / asphalt", "covet, asyncio", "asphalt, asyncio", 1.0),
                Comparison("trio / asphalt", "covet, trio", "asphalt, asyncio", 1.0),
            ],
            unit="ms",
            digits=2,
        )


if __name__ == "__main__":
    test_lifecycle()
