"""The contract every plugin passes: a good plugin passes it, and each kind of bad one does not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, Field

from covet_kernel import Context, Plugin, PluginConfig, Serving
from covet_kernel.contracts import Capability, HealthCheck, Metric, Operation
from covet_kernel.testing import PluginContract, fake_plugin

CLOCK = Capability[object]("test.clock")
STORE = Capability[object]("test.store")


class StoreConfig(PluginConfig):
    """A configuration."""

    path: str = Field(description="A file.")


class Store(Plugin[StoreConfig]):
    """A plugin that does everything right."""

    requires = (CLOCK,)
    provides = (STORE,)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        file = await anyio.open_file(ctx.directory / self.config.path, "a")
        try:
            await anyio.lowlevel.checkpoint()
            ctx.provide(STORE, file)
            ctx.serve(self.serve)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                yield
                await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await file.aclose()

    async def serve(self, serving: Serving) -> None:
        await serving.draining.wait()

    def covet_operations(self) -> Iterable[Operation]:
        return [Operation(name="op", handler=print)]

    def covet_health_checks(self) -> Iterable[HealthCheck]:
        return [HealthCheck(name="store", check=anyio.lowlevel.checkpoint)]

    def covet_metrics(self) -> Iterable[Metric]:
        metric = Metric(name="store.size", kind="gauge", labels=("a",), read=lambda: [(("x",), 1)])
        return [metric]


class StoreContract(PluginContract):
    """The contract, with what the plugins of these tests need."""

    plugin = Store
    config = {"path": "store.db"}
    with_plugins = {"clock": fake_plugin(provides={CLOCK: object()})}

    @property
    def name(self) -> str:
        return "store"


class TestStore(StoreContract):
    """A good plugin passes."""


class Bare(Plugin[None]):
    """A plugin with nothing at all."""


class TestBare(PluginContract):
    """The smallest plugin passes."""

    plugin = Bare


async def test_the_contract_cancels_at_each_await(tmp_path: Path) -> None:
    cancelled: list[str] = []

    async def pause_thrice(ctx: Context) -> None:
        for number in range(3):
            try:
                await anyio.lowlevel.checkpoint()
            except anyio.get_cancelled_exc_class():
                cancelled.append(f"start {number}")
                raise

    async def pause_twice(ctx: Context) -> None:
        for number in range(2):
            try:
                await anyio.lowlevel.checkpoint()
            except anyio.get_cancelled_exc_class():
                cancelled.append(f"stop {number}")
                raise

    class Contract(PluginContract):
        plugin = fake_plugin(start=pause_thrice, stop=pause_twice)

        @property
        def name(self) -> str:
            return "fake"

    await Contract().test_start_cancelled_at_every_await_leaves_nothing(tmp_path)
    assert cancelled == ["start 0", "start 1", "start 2"]
    cancelled.clear()
    await Contract().test_stop_cancelled_at_every_await_leaves_nothing(tmp_path)
    assert cancelled == ["stop 0", "stop 1"]


def bad(**members: Any) -> type[StoreContract]:
    """The contract for a plugin that has something wrong."""
    made = {"__module__": __name__, "__doc__": "Bad.", **members}
    return type("Bad", (StoreContract,), {"plugin": type("BadStore", (Store,), made)})


@asynccontextmanager
async def keeps_running_when_cancelled(self: Any, ctx: Context) -> AsyncIterator[None]:
    try:
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        raise ValueError("a cancellation turned into something else") from None
    ctx.provide(STORE, self)
    yield


@asynccontextmanager
async def cannot_stop_twice(self: Any, ctx: Context) -> AsyncIterator[None]:
    (ctx.directory / "lock").mkdir()
    ctx.provide(STORE, self)
    yield
    await anyio.lowlevel.checkpoint()
    (ctx.directory / "lock").rmdir()


@asynccontextmanager
async def fails_with_its_dependents(self: Any, ctx: Context) -> AsyncIterator[None]:
    ctx.provide(STORE, self)
    yield
    await anyio.lowlevel.checkpoint()
    raise ValueError("cannot stop")


async def fail() -> None:
    raise ValueError("unhealthy")


class Undescribed(PluginConfig):
    """Nested."""

    depth: int = 1


class BareConfig(PluginConfig):
    """Describes nothing."""

    path: str
    nested: Undescribed = Field(Undescribed(), description="Nested.")


class LooseConfig(BaseModel):
    """Accepts anything."""

    path: str = Field(description="A file.")


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "start": (
        "test_start_cancelled_at_every_await_leaves_nothing",
        {"covet_lifespan": keeps_running_when_cancelled},
        "cancelled at await 1",
    ),
    "stop": (
        "test_stop_cancelled_at_every_await_leaves_nothing",
        {"covet_lifespan": cannot_stop_twice},
        "FileExistsError",
    ),
    "dependent": (
        "test_start_of_a_dependent_fails",
        {"covet_lifespan": fails_with_its_dependents},
        "not only the dependent failed",
    ),
    "crash": (
        "test_a_dependent_crashes",
        {"covet_lifespan": fails_with_its_dependents},
        "not only the dependent failed",
    ),
    "health": (
        "test_health_checks_pass",
        {"covet_health_checks": lambda self: [HealthCheck(name="x", check=fail)]},
        "unhealthy",
    ),
    "labels": (
        "test_metrics_can_be_read",
        {
            "covet_metrics": lambda self: [
                Metric(name="x", kind="gauge", read=lambda: [(("label",), 1.0)])
            ]
        },
        "label",
    ),
    "metric name": (
        "test_metrics_can_be_read",
        {"covet_metrics": lambda self: [Metric(name="X Y", kind="gauge", read=list)]},
        "X Y",
    ),
    "hook": (
        "test_hooks_return_declarations",
        {"covet_permissions": lambda self: [7]},
        "covet_permissions returns 7",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_bad_lifespan_or_hook_fails(tmp_path: Path, case: str) -> None:
    method, members, message = CASES[case]
    with pytest.raises((AssertionError, ValueError, ExceptionGroup), match=message):
        await getattr(bad(**members)(), method)(tmp_path)


def test_a_plugin_without_a_docstring_fails() -> None:
    with pytest.raises(AssertionError, match="docstring"):
        bad(__doc__=None)().test_is_documented()


def test_a_capability_that_is_no_token_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="implies holds 7"):
        contract = bad(implies=property(lambda self: Once(7)))()
        contract.test_capabilities_are_tokens(tmp_path)


class Once(list[Any]):
    """Empty at the first look, which is the kernel's."""

    looked = False

    def __init__(self, item: Any) -> None:
        super().__init__([item])

    def __iter__(self) -> Any:
        looked, Once.looked = Once.looked, True
        return super().__iter__() if looked else iter(())


def test_a_configuration_that_is_not_described_fails() -> None:
    with pytest.raises(AssertionError, match=r"BareConfig\.path, Undescribed\.depth"):
        bad(config_type=BareConfig)().test_configuration_is_described()


def test_a_configuration_that_accepts_any_key_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no PluginConfig"):
        bad(config_type=LooseConfig)().test_configuration_is_described()
    with pytest.raises(AssertionError, match="unknown key is accepted"):
        bad(config_type=LooseConfig)().test_unknown_keys_are_refused(tmp_path)


def test_a_plugin_that_opens_something_when_it_is_made_fails(tmp_path: Path) -> None:
    opened: list[int] = []

    def open_at_once(self: Any, config: Any) -> None:
        Store.__init__(self, config)
        opened.extend(os.pipe())

    with pytest.raises(AssertionError, match="must do no I/O"):
        bad(__init__=open_at_once)().test_constructing_it_opens_nothing(tmp_path)
    for number in opened:
        os.close(number)
