"""The graph is proven before anything starts: needs, providers, cycles, names and optional wants."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_kernel import (
    ConfigurationError,
    Context,
    Plugin,
    PluginConfig,
    Settings,
    assemble,
    flatten,
)
from covet_kernel.contracts import SQL, Capability
from covet_kernel.testing import assembly_of, fake_plugin, run_kernel

A = Capability[str]("test.a", plugins=("alpha", "aleph"))
B = Capability[str]("test.b")
C = Capability[str]("test.c")


def errors_of(plugins: Any, config: Any = None, **tables: Any) -> list[Any]:
    with pytest.raises(ExceptionGroup) as caught:
        assembly_of(plugins, config, **tables)
    errors = flatten(caught.value)
    assert all(isinstance(error, ConfigurationError) for error in errors)
    return errors


def test_two_plugins_that_need_each_other() -> None:
    plugins = {
        "a": fake_plugin(requires=[B], provides={A: 1}),
        "b": fake_plugin(requires=[A], provides={B: 1}),
    }
    [error] = errors_of(plugins)
    assert error.code == "COVET-GRAPH-CYCLE"
    assert "a -> b -> a" in error.problem or "b -> a -> b" in error.problem


def test_a_cycle_of_three_reads_as_who_needs_whom() -> None:
    plugins = {
        "a": fake_plugin(requires=[B], provides={A: 1}),
        "b": fake_plugin(requires=[C], provides={B: 1}),
        "c": fake_plugin(requires=[A], provides={C: 1}),
        "outside": fake_plugin(requires=[A]),
    }
    [error] = errors_of(plugins)
    cycle = error.problem.partition(": ")[2].rstrip(".").split(" -> ")
    assert cycle[0] == cycle[-1]
    assert set(pairwise(cycle)) == {("a", "b"), ("b", "c"), ("c", "a")}


def test_a_plugin_that_needs_itself() -> None:
    [error] = errors_of({"a": fake_plugin(requires=[A], provides={A: 1})})
    assert error.code == "COVET-GRAPH-CYCLE"
    assert "a -> a" in error.problem


def test_a_cycle_through_a_want() -> None:
    plugins = {
        "a": fake_plugin(wants=(B,), provides={A: 1}),
        "b": fake_plugin(requires=[A], provides={B: 1}),
    }
    assert [error.code for error in errors_of(plugins)] == ["COVET-GRAPH-CYCLE"]


def test_a_missing_need_says_who_what_and_how_to_get_it() -> None:
    [error] = errors_of({"shop": fake_plugin(requires=[A])})
    assert error.code == "COVET-NEED-MISSING"
    assert error.problem == "shop requires 'test.a', which no enabled plugin provides."
    assert "covet-alpha or covet-aleph" in error.fix


def test_a_missing_need_that_is_installed_says_what_to_enable() -> None:
    class Alpha(Plugin[None]):
        provides = (A,)

    settings = Settings()
    settings.put((), {"plugins": {"shop": {}}}, "test")
    with pytest.raises(ExceptionGroup) as caught:
        assemble(settings, {"shop": fake_plugin(requires=[A]), "alpha": Alpha})
    [error] = caught.value.exceptions
    assert "[plugins.alpha]" in str(error)
    assert "pip" not in str(error)


def test_a_missing_named_need_shows_the_names_there_are() -> None:
    plugins = {
        "alpha": fake_plugin(provides={A: 1}),
        "shop": fake_plugin(requires=[A.named("analytics")]),
    }
    [error] = errors_of(plugins, {"alpha": {}, "alpha/orders": {}, "shop": {}})
    assert error.code == "COVET-NEED-MISSING"
    assert "test.a/analytics" in error.problem
    assert set(error.valid) == {"test.a", "test.a/orders"}
    assert '[plugins."alpha/analytics"]' in error.fix


def test_all_missing_needs_are_reported_together() -> None:
    plugins = {"a": fake_plugin(requires=[A, B]), "b": fake_plugin(requires=[C])}
    errors = errors_of(plugins)
    assert {error.code for error in errors} == {"COVET-NEED-MISSING"}
    assert len(errors) == 3


def test_a_need_provided_twice_names_both() -> None:
    plugins = {"one": fake_plugin(provides={A: 1}), "two": fake_plugin(provides={A: 2})}
    [error] = errors_of(plugins)
    assert error.code == "COVET-PROVIDE-TWICE"
    assert "test.a" in error.problem
    assert "one" in error.problem
    assert "two" in error.problem


def test_a_need_provided_three_times_names_all() -> None:
    plugins = {name: fake_plugin(provides={A: 1}) for name in ("one", "two", "three")}
    text = "\n".join(str(error) for error in errors_of(plugins))
    assert all(name in text for name in plugins)


async def test_instances_provide_under_their_names() -> None:
    seen = {}

    async def look(ctx: Context) -> None:
        seen["default"] = ctx.require(A)
        seen["analytics"] = ctx.require(A.named("analytics"))

    @asynccontextmanager
    async def covet_lifespan(self: Any, ctx: Context) -> Any:
        ctx.provide(A, f"provided by {ctx.name}")
        yield

    plugins = {
        "alpha": fake_plugin(covet_lifespan=covet_lifespan, provides={A: ""}),
        "shop": fake_plugin(requires=[A, A.named("analytics")], start=look),
    }
    async with run_kernel(plugins, {"alpha": {}, "alpha/analytics": {}, "shop": {}}) as kernel:
        assert seen == {
            "default": "provided by alpha",
            "analytics": "provided by alpha/analytics",
        }
        assert kernel.require(A.named("analytics")) == "provided by alpha/analytics"
        assert set(kernel.assembly.nodes["shop"].depends_on) == {"alpha", "alpha/analytics"}


@pytest.mark.parametrize("there", [True, False])
async def test_a_want_orders_but_is_not_needed(there: bool) -> None:
    journal: list[str] = []
    seen = []

    async def look(ctx: Context) -> None:
        seen.append(ctx.get(A))

    plugins = {"shop": fake_plugin(wants=(A,), start=look, journal=journal)}
    if there:
        plugins["alpha"] = fake_plugin(provides={A: "wanted"}, journal=journal)
    async with run_kernel(plugins):
        pass
    assert seen == (["wanted"] if there else [None])
    if there:
        assert journal.index("alpha up") < journal.index("shop starts")
        assert journal.index("shop down") < journal.index("alpha stops")


async def test_a_get_of_a_requirement_gives_its_provider() -> None:
    seen = []

    async def look(ctx: Context) -> None:
        seen.append(ctx.get(A))

    async with run_kernel(
        {"a": fake_plugin(provides={A: 7}), "b": fake_plugin(requires=[A], start=look)}
    ):
        pass
    assert seen == [7]


@pytest.mark.parametrize("method", ["require", "get"])
async def test_asking_for_what_was_not_declared_is_an_error(method: str) -> None:
    async def ask(ctx: Context) -> None:
        getattr(ctx, method)(B)

    plugins = {
        "a": fake_plugin(provides={A: 1, B: 2}),
        "b": fake_plugin(requires=[A], start=ask),
    }
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    [error] = flatten(caught.value)
    assert error.code == "COVET-NEED-UNDECLARED"
    assert "b asks for 'test.b'" in error.problem
    assert error.valid == ("test.a",)


async def test_a_provider_that_was_not_declared_is_an_error() -> None:
    async def provide(ctx: Context) -> None:
        ctx.provide(B, "undeclared")

    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel({"a": fake_plugin(provides={A: 1}, start=provide)}):
            pass
    [error] = flatten(caught.value)
    assert error.code == "COVET-PROVIDE-UNDECLARED"
    assert error.valid == ("test.a",)


async def test_a_declared_capability_that_is_not_provided_fails_the_start() -> None:
    journal: list[str] = []
    plugins = {
        "a": type("Forgetful", (Plugin,), {"provides": (A, B)}),
        "b": fake_plugin(requires=[A], journal=journal),
    }
    with pytest.raises(ExceptionGroup) as caught:
        async with run_kernel(plugins):
            pass
    [error] = flatten(caught.value)
    assert error.code == "COVET-PROVIDE-MISSING"
    assert "a declares test.a, test.b" in error.problem
    assert journal == []


class TenantConfig(PluginConfig):
    """Says what the plugin needs."""

    tenants: tuple[str, ...] = ()


class Tenants(Plugin[TenantConfig]):
    """Requires one database a tenant."""

    @property
    def requires(self) -> Any:
        return [SQL.named(tenant) for tenant in self.config.tenants]


def test_needs_may_be_computed_from_the_configuration() -> None:
    plugins = {"tenants": Tenants, "db": fake_plugin(provides={SQL: "db"})}
    config = {"tenants": {"tenants": ["x", "y"]}, "db/x": {}, "db/y": {}}
    assert assembly_of(plugins, config).nodes["tenants"].depends_on == ("db/x", "db/y")
    [error] = errors_of(plugins, {"tenants": {"tenants": ["z"]}, "db": {}})
    assert "sql.database/z" in error.problem


def test_an_implied_plugin_is_enabled_with_defaults() -> None:
    plugins = {"a": fake_plugin(implies=("b",)), "b": fake_plugin(), "c": fake_plugin()}
    settings = Settings()
    settings.put((), {"plugins": {"a": {}}}, "test")
    assembly = assemble(settings, plugins)
    assert set(assembly.nodes) == {"a", "b"}
    assert assembly.nodes["b"].implied_by == "a"


def test_a_plugin_implied_and_configured_is_one() -> None:
    plugins = {"a": fake_plugin(implies=("b",)), "b": fake_plugin(implies=("a",))}
    nodes = assembly_of(plugins, {"a": {}, "b/named": {}}).nodes
    assert sorted(nodes) == ["a", "b/named"]
    assert {node.implied_by for node in nodes.values()} == {""}


def test_what_is_wrong_with_a_plugin_that_is_implied_too_is_said_once() -> None:
    plugins = {"a": fake_plugin(implies=("tenants",)), "tenants": Tenants}
    for config in ({"a": {}, "tenants": {"tenant": 1}}, {"tenants": {"tenant": 1}, "a": {}}):
        [error] = errors_of(plugins, config)
        assert error.code == "COVET-CONFIG-KEY"


def test_an_implied_plugin_that_is_not_there_names_who_implies_it() -> None:
    [error] = errors_of({"a": fake_plugin(implies=("nowhere",))})
    assert error.code == "COVET-PLUGIN-MISSING"
    assert "nowhere" in error.problem
    assert error.place == "implied by a"


def test_a_module_depends_on_everything_but_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("module_one", "module_two"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    plugins = {"a": fake_plugin(provides={A: 1}), "b": fake_plugin()}
    assembly = assembly_of(plugins, app={"modules": ["module_one", "module_two"]})
    assert set(assembly.nodes["module_one"].depends_on) == {"a", "b"}
    assert set(assembly.nodes["module_two"].depends_on) == {"a", "b"}
    assert [module.__name__ for module in assembly.modules] == ["module_one", "module_two"]


def test_a_module_and_a_plugin_of_one_name_are_not_mixed_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    assembly = assembly_of({"shop": fake_plugin()}, app={"modules": ["shop", "shop"]})
    kinds = {name: type(node.plugin).__name__ for name, node in assembly.nodes.items()}
    assert kinds == {"shop": "FakePlugin", "module shop": "module"}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Acyclic needs: each plugin needs some of those before it; then shuffled."""
    names = [f"p{number}" for number in range(draw(st.integers(1, 12)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:position]), unique=True)) if position else []
        for position, name in enumerate(names)
    }
    return {name: needs[name] for name in draw(st.permutations(names))}


@given(graphs())
def test_every_acyclic_graph_is_put_in_order(needs: dict[str, list[str]]) -> None:
    tokens = {name: Capability[str](name) for name in needs}
    plugins = {
        name: fake_plugin(requires=[tokens[other] for other in others], provides={tokens[name]: 1})
        for name, others in needs.items()
    }
    assembly = assembly_of(plugins)
    order = list(assembly.nodes)
    assert sorted(order) == sorted(needs)
    for name, others in needs.items():
        assert all(order.index(other) < order.index(name) for other in others)
        assert set(assembly.nodes[name].depends_on) == set(others)
    for name in needs:
        closure = assembly.closure([name])
        assert name in closure
        for other, others in needs.items():
            if closure & set(others):
                assert other in closure
