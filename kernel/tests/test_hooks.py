"""Hooks are plain functions found by their name; what does not fit a spec is refused by name."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest

from covet_kernel import Plugin, flatten, hookspec
from covet_kernel.testing import assembly_of


def errors_of(*members: dict[str, Any]) -> list[Any]:
    plugins = {f"p{number}": type("P", (Plugin,), each) for number, each in enumerate(members)}
    with pytest.raises(ExceptionGroup) as caught:
        assembly_of(plugins)
    return flatten(caught.value)


async def coroutine(self: Any) -> list[Any]:
    return []


async def generator(self: Any, ctx: Any) -> Any:
    yield


def test_an_async_hook_is_refused() -> None:
    [error] = errors_of({"covet_operations": coroutine})
    assert error.code == "COVET-HOOK-ASYNC"
    assert "covet_operations" in error.problem
    assert "p0" in error.place
    assert "covet_lifespan" in error.fix


def test_a_lifespan_that_lacks_its_decorator_is_refused() -> None:
    [error] = errors_of({"covet_lifespan": generator})
    assert error.code == "COVET-HOOK-ASYNC"
    assert "asynccontextmanager" in error.fix


def test_an_unknown_hook_is_refused_with_the_nearest_name() -> None:
    [error] = errors_of({"covet_operation": lambda self: []})
    assert error.code == "COVET-HOOK-UNKNOWN"
    assert "p0" in error.problem
    assert "covet_operation" in error.problem
    assert "covet_operations" in error.valid
    assert "Did you mean 'covet_operations'?" in error.fix


def test_a_hook_with_other_arguments_is_refused() -> None:
    [error] = errors_of({"covet_event": lambda self, happening: None})
    assert error.code == "COVET-HOOK-INVALID"
    assert "p0" in error.problem
    assert "happening" in error.problem


def test_the_hooks_of_all_plugins_are_checked() -> None:
    errors = errors_of(
        {"covet_operations": coroutine},
        {"covet_metrix": lambda self: []},
        {"covet_metrics": lambda self, what: []},
    )
    assert sorted(error.code for error in errors) == [
        "COVET-HOOK-ASYNC",
        "COVET-HOOK-INVALID",
        "COVET-HOOK-UNKNOWN",
    ]


def test_a_hook_may_leave_its_argument_out() -> None:
    heard: list[object] = []

    def covet_event(self: object) -> None:
        heard.append(self)

    plugin = type("P", (Plugin,), {"covet_event": covet_event})
    assembly = assembly_of({"p": plugin})
    assembly.hooks.hook.covet_event(event=None)
    assert heard == [assembly.nodes["p"].plugin]


class WebSpecs:
    """What a plugin of the tests adds."""

    @hookspec
    def covet_routes(self) -> list[str]:  # type: ignore[empty-body]
        """Routes."""


class Web(Plugin[None]):
    """Brings a spec of its own."""

    def covet_add_hookspecs(self, pm: Any) -> None:
        pm.add_hookspecs(WebSpecs)


class Site(Plugin[None]):
    """Implements the other's spec."""

    def covet_routes(self) -> list[str]:
        return ["/", "/about"]


@pytest.mark.parametrize("order", [["web", "site"], ["site", "web"]])
def test_plugins_bring_specs_of_their_own(order: list[str]) -> None:
    plugins = {"web": Web, "site": Site}
    assembly = assembly_of({name: plugins[name] for name in order})
    assert assembly.declared("covet_routes") == [("site", "/"), ("site", "/about")]


def test_a_hook_of_a_plugin_that_is_not_enabled_is_unknown() -> None:
    [error] = errors_of({"covet_routes": Site.covet_routes})
    assert error.code == "COVET-HOOK-UNKNOWN"
    assert "enable the plugin that specifies it" in error.fix


def test_names_that_only_look_like_hooks_are_left_alone() -> None:
    @asynccontextmanager
    async def covet_lifespan(self: Any, ctx: Any) -> Any:
        yield

    members = {"covet_lifespan": covet_lifespan, "covet_version": 7, "covetous": coroutine}
    assert list(assembly_of({"p": type("P", (Plugin,), members)}).nodes) == ["p"]
