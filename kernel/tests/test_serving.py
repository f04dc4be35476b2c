"""Serving phases: compiled before anybody serves, drained before anything stops."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from covet_kernel import ConfigurationError, Context, Kernel, Serving, flatten
from covet_kernel.contracts import Capability, HealthCheck, Metric, Operation
from covet_kernel.testing import assembly_of, fake_plugin, run_kernel

A = Capability[str]("test.a")


async def drain(serving: Serving) -> None:
    await serving.draining.wait()


async def test_serving_begins_when_everything_is_up_and_compiled() -> None:
    journal: list[str] = []
    serving_now = anyio.Event()

    async def serve(serving: Serving) -> None:
        journal.append("serves")
        serving_now.set()
        await serving.draining.wait()

    plugins = {
        "server": fake_plugin(
            provides={A: 1},
            serve=serve,
            compile=lambda serving: journal.append("server compiles"),
            journal=journal,
        ),
        "late": fake_plugin(
            requires=[A], compile=lambda serving: journal.append("late compiles"), journal=journal
        ),
    }
    async with run_kernel(plugins):
        await serving_now.wait()
        compiled = journal[-3:]
    assert compiled == ["server compiles", "late compiles", "serves"]
    assert journal.index("late up") < journal.index("server compiles")


async def test_a_phase_has_what_every_plugin_declares_in_the_order_of_the_graph() -> None:
    phases: list[Serving] = []
    operation = Operation(name="op", handler=print)
    other = Operation(name="other", handler=print)
    check = HealthCheck(name="check", check=anyio.lowlevel.checkpoint)
    metric = Metric(name="metric", kind="gauge", read=lambda: [((), 1.0)])
    plugins = {
        "b": fake_plugin(
            requires=[A],
            covet_operations=lambda self: [other],
            covet_health_checks=lambda self: iter([check]),
        ),
        "a": fake_plugin(
            provides={A: "a"},
            compile=phases.append,
            covet_operations=lambda self: (operation,),
            covet_metrics=lambda self: [metric],
            covet_permissions=lambda self: ["orders:write"],
        ),
    }
    async with run_kernel(plugins):
        [phase] = phases
    assert phase.operations == (operation, other)
    assert phase.health_checks == (check,)
    assert phase.metrics == (metric,)
    assert phase.permissions == ("orders:write",)
    assert phase.interceptors == phase.authenticators == phase.authorizers == ()
    assert phase.owner(operation) == "a"
    assert phase.owner(other) == phase.owner(check) == "b"
    assert phase.owner(object()) == ""
    assert phase.provided == {A: "a"}
    assert phase.number == 1
    assert phase.collect("covet_operations") == [("a", operation), ("b", other)]


async def test_draining_finishes_what_is_in_flight_before_anything_stops() -> None:
    journal: list[str] = []
    told: list[bool] = []

    async def serve(serving: Serving) -> None:
        await serving.draining.wait()
        told.append(serving.stopping)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        journal.append("answered")

    plugins = {
        "server": fake_plugin(serve=serve, journal=journal),
        "other": fake_plugin(journal=journal),
    }
    async with run_kernel(plugins):
        pass
    assert told == [True]
    assert journal.index("answered") < min(journal.index(f"{name} stops") for name in plugins)


async def test_draining_goes_on_although_the_caller_is_cancelled() -> None:
    answered = []

    async def serve(serving: Serving) -> None:
        await serving.draining.wait()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        answered.append(True)

    with anyio.CancelScope() as scope:
        async with run_kernel({"server": fake_plugin(serve=serve)}):
            scope.cancel()
    assert answered == [True]


async def test_what_does_not_drain_is_cancelled_at_once() -> None:
    cut = []

    async def tick(serving: Serving) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cut.append(serving.number)

    async def register(ctx: Context) -> None:
        ctx.serve(tick, drain=False)

    with anyio.fail_after(5):
        async with run_kernel({"ticker": fake_plugin(start=register)}):
            await anyio.wait_all_tasks_blocked()
    assert cut == [1]


async def test_a_server_that_returns_early_is_no_failure() -> None:
    async def return_at_once(serving: Serving) -> None:
        pass

    plugins = {"early": fake_plugin(serve=return_at_once), "server": fake_plugin(serve=drain)}
    with anyio.fail_after(5):
        async with run_kernel(plugins) as kernel:
            await anyio.wait_all_tasks_blocked()
            assert kernel.state == "running"


async def test_several_servers_of_several_plugins_all_drain() -> None:
    drained = []

    def serve(name: str) -> Any:
        async def run(serving: Serving) -> None:
            await serving.draining.wait()
            drained.append(name)

        return run

    async def register(ctx: Context) -> None:
        ctx.serve(serve(f"{ctx.name} two"))

    plugins = {name: fake_plugin(serve=serve(f"{name} one"), start=register) for name in ("a", "b")}
    async with run_kernel(plugins):
        pass
    assert sorted(drained) == ["a one", "a two", "b one", "b two"]


async def test_what_does_not_compile_fails_the_start_before_anybody_serves() -> None:
    journal: list[str] = []

    def refuse(serving: Serving) -> None:
        raise ConfigurationError("TEST-ROUTES", "two routes are the same.")

    async def serve(serving: Serving) -> None:
        journal.append("serves")

    plugins = {
        "good": fake_plugin(serve=serve, journal=journal),
        "bad": fake_plugin(compile=refuse, journal=journal),
        "worse": fake_plugin(compile=lambda serving: 1 / 0, journal=journal),
    }
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            journal.append("the block runs")
    bad, worse = flatten(caught.value)
    assert (bad.code, bad.place) == ("TEST-ROUTES", "plugin bad (given)")
    assert worse.code == "COVET-COMPILE-FAILED"
    assert "ZeroDivisionError" in worse.problem
    assert "serves" not in journal
    assert "the block runs" not in journal
    assert [journal.count(f"{name} down") for name in plugins] == [1, 1, 1]


@pytest.mark.parametrize("returned", [None, 7])
async def test_a_hook_that_returns_no_declarations_is_named(returned: Any) -> None:
    plugins = {"bad": fake_plugin(covet_operations=lambda self: returned)}
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    [error] = flatten(caught.value)
    assert error.code == "COVET-HOOK-FAILED"
    assert "bad" in error.problem
    assert "covet_operations" in error.problem


async def test_states_and_events_follow_the_kernel() -> None:
    heard: list[tuple[str, str]] = []

    def listen(self: Any, event: Any) -> None:
        heard.append((event.name, event.plugin))

    async def tell(ctx: Context) -> None:
        ctx.emit("test.told", what="this")

    kernel = Kernel(
        assembly_of(
            {
                "a": fake_plugin(start=tell, provides={A: 1}, covet_event=listen),
                "b": fake_plugin(requires=[A]),
            }
        )
    )
    assert kernel.state == "new"
    async with kernel.running():
        assert kernel.state == "running"
    assert heard == [
        ("kernel.starting", ""),
        ("plugin.starting", "a"),
        ("test.told", "a"),
        ("plugin.started", "a"),
        ("plugin.starting", "b"),
        ("plugin.started", "b"),
        ("kernel.running", ""),
        ("kernel.draining", ""),
        ("kernel.stopping", ""),
        ("plugin.stopped", "b"),
        ("plugin.stopped", "a"),
        ("kernel.stopped", ""),
    ]


async def test_a_listener_that_fails_is_logged_and_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = []

    def fail(self: Any, event: Any) -> None:
        raise ValueError("deaf")

    plugins = {
        "bad": fake_plugin(covet_event=fail),
        "good": fake_plugin(covet_event=lambda self, event: heard.append(event.name)),
    }
    async with run_kernel(plugins):
        pass
    assert "kernel.stopped" in heard
    assert "covet_event of bad failed on kernel.running" in caplog.text


async def test_the_context_knows_its_place(tmp_path: Any) -> None:
    seen: list[Any] = []

    async def look(ctx: Context) -> None:
        seen.append((ctx.name, ctx.directory, ctx.modules, ctx.log.name))

    async with run_kernel({"a": fake_plugin(start=look)}, {"a/one": {}}, directory=tmp_path):
        pass
    assert seen == [("a/one", tmp_path, (), "covet.a/one")]


async def test_an_empty_kernel_runs() -> None:
    async with run_kernel({}) as kernel:
        assert kernel.describe()["plugins"] == []
        with pytest.raises(KeyError):
            kernel.require(A)
