"""Stopping: in reverse, past failures, all of them reported, and the block's own outcome kept."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from covet_kernel import Context, Kernel, LifecycleError, Serving, flatten
from covet_kernel.contracts import Capability
from covet_kernel.testing import assembly_of, fake_plugin, run_kernel

A = Capability[str]("test.a")
B = Capability[str]("test.b")
C = Capability[str]("test.c")


async def fails(ctx: Context) -> None:
    await anyio.lowlevel.checkpoint()
    raise OSError(f"{ctx.name} cannot stop")


def chain(journal: list[str], **stop: Any) -> dict[str, Any]:
    """Plugins a, b and c, each needed by the next."""
    return {
        "a": fake_plugin(provides={A: "a"}, journal=journal, stop=stop.get("a")),
        "b": fake_plugin(requires=[A], provides={B: "b"}, journal=journal, stop=stop.get("b")),
        "c": fake_plugin(requires=[B], provides={C: "c"}, journal=journal, stop=stop.get("c")),
    }


async def test_plugins_stop_in_reverse() -> None:
    journal: list[str] = []
    async with run_kernel(chain(journal)) as kernel:
        journal.clear()
    assert journal == ["c stops", "c down", "b stops", "b down", "a stops", "a down"]
    assert kernel.state == "stopped"
    assert kernel.provided == {}


async def test_what_is_required_is_provided_until_its_dependents_have_stopped() -> None:
    seen = []

    async def look(ctx: Context) -> None:
        seen.append(ctx.require(A))

    plugins = {"a": fake_plugin(provides={A: "still"}), "b": fake_plugin(requires=[A], stop=look)}
    async with run_kernel(plugins):
        pass
    assert seen == ["still"]


async def test_independent_plugins_stop_concurrently() -> None:
    met = {"a": anyio.Event(), "b": anyio.Event()}

    async def meet(ctx: Context) -> None:
        met[ctx.name].set()
        await met["b" if ctx.name == "a" else "a"].wait()

    with anyio.fail_after(5):
        async with run_kernel({"a": fake_plugin(stop=meet), "b": fake_plugin(stop=meet)}):
            pass


async def test_stopping_goes_on_past_failures_and_reports_all() -> None:
    journal: list[str] = []
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(chain(journal, b=fails, c=fails)):
            journal.clear()
    leaves: list[Any] = flatten(caught.value)
    assert [(leaf.code, leaf.problem) for leaf in leaves] == [
        ("COVET-STOP-FAILED", "c failed to stop: OSError: c cannot stop"),
        ("COVET-STOP-FAILED", "b failed to stop: OSError: b cannot stop"),
    ]
    assert all(isinstance(leaf.__cause__, OSError) for leaf in leaves)
    assert journal == ["c stops", "c down", "b stops", "b down", "a stops", "a down"]


async def test_the_message_of_the_group_names_every_failure() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(chain([], a=fails, c=fails)):
            pass
    assert "c failed to stop" in str(caught.value)
    assert "a failed to stop" in str(caught.value)


async def test_what_the_block_raises_comes_out_unchanged() -> None:
    error = KeyError("the block's own")
    with pytest.raises(KeyError) as caught:
        async with run_kernel(chain([])):
            raise error
    assert caught.value is error
    assert caught.value.__cause__ is None


async def test_a_group_the_block_raises_comes_out_unchanged() -> None:
    error = ExceptionGroup("the block's own", [KeyError("a"), ValueError("b")])
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(chain([])):
            raise error
    # trio copies groups that pass through a cancel scope.
    assert caught.value.message == error.message
    assert caught.value.exceptions == error.exceptions


async def test_what_the_block_raises_is_reported_beside_failures() -> None:
    error = KeyError("the block's own")
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(chain([], b=fails)):
            raise error
    failure, own = caught.value.exceptions
    assert isinstance(failure, LifecycleError)
    assert failure.code == "COVET-STOP-FAILED"
    assert own is error


async def test_leaving_the_block_early_stops_everything() -> None:
    journal: list[str] = []

    async def leave() -> int:
        async with run_kernel(chain(journal)):
            return 7

    assert await leave() == 7
    assert journal[-1] == "a down"


async def test_cancel_leaves_the_block() -> None:
    journal: list[str] = []
    with anyio.fail_after(5):
        async with run_kernel(chain(journal)) as kernel:
            kernel.cancel()
            await anyio.sleep_forever()
    assert journal[-1] == "a down"


async def test_force_cancels_what_drains_and_what_stops() -> None:
    journal: list[str] = []
    draining = anyio.Event()

    async def never(ctx: Context) -> None:
        await anyio.sleep_forever()

    async def drains_for_ever(serving: Serving) -> None:
        await serving.draining.wait()
        draining.set()
        await anyio.sleep_forever()

    plugins = {
        "a": fake_plugin(provides={A: "a"}, journal=journal, serve=drains_for_ever),
        "b": fake_plugin(requires=[A], journal=journal, stop=never),
    }
    kernel = Kernel(assembly_of(plugins))

    async def force() -> None:
        await draining.wait()
        kernel.force()

    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(force)
            async with kernel.running():
                pass
    assert {leaf.code for leaf in flatten(caught.value)} >= {"COVET-STOP-TIMEOUT"}
    assert journal[-4:] == ["b stops", "b down", "a stops", "a down"]


async def test_force_while_starting_ends_the_start() -> None:
    journal: list[str] = []
    starting = anyio.Event()

    async def never(ctx: Context) -> None:
        starting.set()
        await anyio.sleep_forever()

    kernel = Kernel(assembly_of({"a": fake_plugin(start=never, journal=journal)}))

    async def force() -> None:
        await starting.wait()
        kernel.force()

    with anyio.fail_after(5), pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(force)
            async with kernel.running():
                pass
    assert journal == ["a starts", "a down"]


@pytest.mark.parametrize("how", ["cancel", "force"])
async def test_a_kernel_may_be_told_to_stop_before_it_starts(how: str) -> None:
    journal: list[str] = []
    kernel = Kernel(assembly_of({"a": fake_plugin(journal=journal)}))
    getattr(kernel, how)()
    reached = False
    with anyio.fail_after(5):
        try:
            async with kernel.running():
                await anyio.lowlevel.checkpoint()
                reached = True
        except ExceptionGroup as group:
            assert how == "force"
            assert {leaf.code[-7:] for leaf in flatten(group)} == {"TIMEOUT"}
    assert not reached
    assert kernel.state == "stopped"
    assert journal.count("a starts") == journal.count("a down")
