"""Starts and stops leave nothing behind: no task, no thread, no socket, no memory.

Two hundred of them show what each of them leaves; `tox -e soak` goes on to a thousand.
"""

from __future__ import annotations

import gc
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from covet_kernel import Context, Kernel, Serving
from covet_kernel.contracts import Capability
from covet_kernel.testing import assembly_of, fake_plugin
from covet_kernel.testing._leaks import open_descriptors, running_threads, tasks_now

A = Capability[socket.socket]("test.a")
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def nothing_is_frozen() -> Iterator[None]:
    """What the collector was told to pass over keeps alive whatever it has come to refer to since."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()


async def drain(serving: Serving) -> None:
    await serving.draining.wait()


def plugins() -> dict[str, Any]:
    """A plugin that holds sockets and tasks, one that serves, and one that crashes."""
    pairs: list[socket.socket] = []

    async def open_sockets(ctx: Context) -> None:
        pairs.extend(socket.socketpair())

    async def close_sockets(ctx: Context) -> None:
        while pairs:
            pairs.pop().close()

    async def crash(ctx: Context) -> None:
        raise ValueError("as it does")

    return {
        "a": fake_plugin(
            provides={A: pairs}, start=open_sockets, stop=close_sockets, run=wait_for_the_end
        ),
        "b": fake_plugin(requires=[A], serve=drain),
        "c": fake_plugin(requires=[A], stop=crash),
    }


async def wait_for_the_end(ctx: Context) -> None:
    await anyio.sleep_forever()


async def cycle() -> None:
    with pytest.raises(ExceptionGroup, match="c failed to stop"):
        async with Kernel(assembly_of(plugins())).running():
            await anyio.lowlevel.checkpoint()


def census() -> Counter[str]:
    """How many objects of the kernel's there are, by class."""
    for _ in range(3):  # classes go in several rounds
        gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    return Counter(
        kind.__qualname__
        for kind in kinds
        # Of a compiled extension's class it may be a descriptor.
        if str(kind.__module__).startswith(("covet_kernel", "anyio", "graphlib", "pluggy"))
    )


@pytest.mark.parametrize("cycles", [200, pytest.param(1000, marks=pytest.mark.long)])
async def test_cycles_leave_nothing(cycles: int) -> None:
    for _ in range(20):  # until caches are full
        await cycle()
    objects, tasks = census(), tasks_now()
    threads, descriptors = running_threads(), open_descriptors()
    blocks = sys.getallocatedblocks()
    for _ in range(cycles):
        await cycle()
    grown, left = census() - objects, sys.getallocatedblocks() - blocks
    assert tasks_now() == tasks
    assert open_descriptors() == descriptors
    assert running_threads() == threads
    assert {kind: number for kind, number in grown.items() if number > 2} == {}
    # Event loops forget deadlines that were cancelled by and by, so it is never quite 0.
    assert left < cycles


async def test_cycles_of_reloads_leave_nothing() -> None:
    def assembly(number: int) -> Any:
        classes = {"a": fake_plugin(serve=drain), "b": fake_plugin()}
        return assembly_of(classes, {"a": {"stop_timeout": number + 1.0}, "b": {}})

    async with Kernel(assembly(0)).running() as kernel:
        for number in range(10):
            await kernel.reload(assembly(number))
        objects = census()
        for number in range(50):
            assert await kernel.reload(assembly(number)) == ["a", "b"]
        assert {kind: number for kind, number in (census() - objects).items() if number > 2} == {}
