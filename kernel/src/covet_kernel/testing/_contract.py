"""Lifecycle tests that every plugin passes, generated from its class."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import anyio

from covet_kernel import Assembly, Kernel, Plugin, PluginConfig, flatten
from covet_kernel.contracts import Capability, HealthCheck, Metric, Operation
from covet_kernel.testing._cancel import Stepped
from covet_kernel.testing._leaks import open_descriptors
from covet_kernel.testing._run import assembly_of

_ITEMS: Mapping[str, Callable[[Any], bool]] = {
    "covet_operations": lambda item: isinstance(item, Operation),
    "covet_interceptors": lambda item: callable(item.bind),
    "covet_authenticators": lambda item: callable(item.authenticate),
    "covet_authorizers": lambda item: callable(item.authorize),
    "covet_permissions": lambda item: isinstance(item, str),
    "covet_health_checks": lambda item: isinstance(item, HealthCheck),
    "covet_metrics": lambda item: isinstance(item, Metric),
    "covet_store_schemes": lambda item: isinstance(item.scheme, str),
    "covet_migrations": lambda item: item is not None,
    "covet_commands": lambda item: callable(item.run),
}
"""The kernel's hooks that return declarations, and what each item must be."""


class Interrupted(Exception):
    """Raised in place of the cancellation with which a contract test ends a lifespan."""


class PluginContract:
    """Tests that hold for every plugin; derive from it in the plugin's own tests.

    ::

        class TestSqlite(PluginContract):
            plugin = Sqlite
            config = {"path": "test.db"}

    Attributes:
        plugin: The class under test.
        config: Its table, without which it cannot start; relative paths lead to a folder that
            is new for each test.
        with_plugins: Classes by id of the plugins it needs.
        with_config: Their tables by instance name.
    """

    plugin: ClassVar[type[Plugin[Any]]]
    config: ClassVar[Mapping[str, Any]] = {}
    with_plugins: ClassVar[Mapping[str, type[Plugin[Any]]]] = {}
    with_config: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @property
    def name(self) -> str:
        """The id of the plugin: the name of its package without ``covet_``."""
        package = self.plugin.__module__.partition(".")[0]
        return package.removeprefix("covet_").replace("_", "-")

    def assembly(
        self,
        directory: Path,
        *,
        plugin: type[Plugin[Any]] | None = None,
        classes: Mapping[str, type[Plugin[Any]]] | None = None,
        **config: Any,
    ) -> Assembly:
        """The plugin with those it needs.

        Args:
            directory: Where relative paths start.
            plugin: A class in place of the one under test.
            classes: More plugins.
            config: More keys of its table.
        """
        return assembly_of(
            {self.name: plugin or self.plugin, **self.with_plugins, **(classes or {})},
            {self.name: {**self.config, **config}, **self.with_config},
            directory=directory,
        )

    def provides(self, directory: Path) -> tuple[Capability[Any], ...]:
        """The capabilities of the instance under test."""
        return self.assembly(directory).nodes[self.name].provides

    # Life

    async def test_starts_serves_and_stops(self, tmp_path: Path) -> None:
        kernel = Kernel(self.assembly(tmp_path))
        async with kernel.running():
            assert kernel.assembly.nodes[self.name].state == "running"
            for token in self.provides(tmp_path):
                assert kernel.require(token) is not None, f"{token.id} is provided as None"
        assert kernel.state == "stopped"
        assert kernel.provided == {}

    async def test_starts_again_where_it_stopped(self, tmp_path: Path) -> None:
        for _ in range(2):
            async with Kernel(self.assembly(tmp_path)).running() as kernel:
                assert kernel.state == "running"

    async def test_start_cancelled_at_every_await_leaves_nothing(self, tmp_path: Path) -> None:
        await self._interrupt_everywhere(tmp_path, "__aenter__")

    async def test_stop_cancelled_at_every_await_leaves_nothing(self, tmp_path: Path) -> None:
        await self._interrupt_everywhere(tmp_path, "__aexit__")

    async def test_start_of_a_dependent_fails(self, tmp_path: Path) -> None:
        @asynccontextmanager
        async def fail(self: Any, ctx: Any) -> AsyncIterator[None]:
            await _crash()
            yield

        await self._with_dependent(tmp_path, fail)

    async def test_a_dependent_crashes(self, tmp_path: Path) -> None:
        @asynccontextmanager
        async def crash(self: Any, ctx: Any) -> AsyncIterator[None]:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_crash)
                yield

        await self._with_dependent(tmp_path, crash)

    async def test_reload_without_change_touches_nothing(self, tmp_path: Path) -> None:
        async with Kernel(self.assembly(tmp_path)).running() as kernel:
            before = kernel.assembly.nodes[self.name].plugin
            assert await kernel.reload(self.assembly(tmp_path)) == []
            assert kernel.assembly.nodes[self.name].plugin is before
            assert kernel.assembly.nodes[self.name].state == "running"

    async def test_reload_with_a_change_replaces_it(self, tmp_path: Path) -> None:
        async with Kernel(self.assembly(tmp_path)).running() as kernel:
            before = kernel.assembly.nodes[self.name].plugin
            assert self.name in await kernel.reload(self.assembly(tmp_path, stop_timeout=9.75))
            assert kernel.assembly.nodes[self.name].plugin is not before
            for token in self.provides(tmp_path):
                assert kernel.require(token) is not None, f"{token.id} is provided as None"

    # Declarations

    def test_is_documented(self) -> None:
        assert (self.plugin.__dict__.get("__doc__") or "").strip(), "the plugin has no docstring"

    def test_constructing_it_opens_nothing(self, tmp_path: Path) -> None:
        before = open_descriptors()
        assembly = self.assembly(tmp_path)
        assert open_descriptors() == before, "constructing a plugin must do no I/O"
        assert assembly.nodes[self.name].state == "waiting"

    def test_capabilities_are_tokens(self, tmp_path: Path) -> None:
        plugin = self.assembly(tmp_path).nodes[self.name].plugin
        for attribute in ("requires", "wants", "provides"):
            for token in getattr(plugin, attribute):
                assert isinstance(token, Capability), f"{attribute} holds {token!r}"
        for other in plugin.implies:
            assert isinstance(other, str), f"implies holds {other!r}"

    def test_unknown_keys_are_refused(self, tmp_path: Path) -> None:
        try:
            self.assembly(tmp_path, no_such_key=1)
        except ExceptionGroup as group:
            found = {getattr(leaf, "code", ""): str(leaf) for leaf in flatten(group)}
        else:
            found = {}
        assert "no_such_key" in found.get("COVET-CONFIG-KEY", ""), "an unknown key is accepted"

    def test_configuration_is_described(self) -> None:
        model = self.plugin.config_type
        if model is None:
            return
        assert issubclass(model, PluginConfig), "the configuration is no PluginConfig"
        assert model.model_config.get("frozen"), "the configuration is not frozen"
        assert model.model_config.get("extra") == "forbid", "the configuration accepts any key"
        bare = sorted(_undescribed(model.model_json_schema(), model.__name__))
        assert not bare, f"keys without a description: {', '.join(bare)}"

    async def test_hooks_return_declarations(self, tmp_path: Path) -> None:
        async with Kernel(self.assembly(tmp_path)).running() as kernel:
            for hook, is_valid in _ITEMS.items():
                for item in self._declared(kernel, hook):
                    assert is_valid(item), f"{hook} returns {item!r}"

    async def test_health_checks_pass(self, tmp_path: Path) -> None:
        async with Kernel(self.assembly(tmp_path)).running() as kernel:
            for check in self._declared(kernel, "covet_health_checks"):
                with anyio.fail_after(check.deadline):
                    await check.check()

    async def test_metrics_can_be_read(self, tmp_path: Path) -> None:
        async with Kernel(self.assembly(tmp_path)).running() as kernel:
            for metric in self._declared(kernel, "covet_metrics"):
                assert re.fullmatch(r"[a-z][a-z0-9_.]*", metric.name), metric.name
                for labels, number in metric.read():
                    assert len(labels) == len(metric.labels), f"{metric.name}: {labels!r}"
                    assert isinstance(number, int | float), f"{metric.name}: {number!r}"

    # How

    def _declared(self, kernel: Kernel, hook: str) -> list[Any]:
        return [item for owner, item in kernel.assembly.declared(hook) if owner == self.name]

    async def _interrupt_everywhere(self, directory: Path, method: str) -> None:
        """Cancel ``method`` of the lifespan at each await; then it must start as ever."""
        number, reached = 0, True
        while reached:
            number += 1
            cut = _Cut(method, number)
            failures: list[BaseException] = []
            try:
                async with Kernel(self.assembly(directory, plugin=cut.into(self.plugin))).running():
                    pass
            except ExceptionGroup as group:
                failures = flatten(group)
            others = [one for one in failures if not isinstance(one.__cause__, Interrupted)]
            assert not others, f"cancelled at await {number}, it fails with {others!r}"
            reached = cut.reached
            assert bool(failures) == reached, "a cancelled lifespan was taken for a good one"
        async with Kernel(self.assembly(directory)).running() as kernel:
            assert kernel.state == "running"

    async def _with_dependent(self, directory: Path, lifespan: Callable[..., Any]) -> None:
        """Run with a plugin that needs this one and fails: nothing else may fail."""
        needs = {"requires": self.provides(directory), "covet_lifespan": lifespan}
        dependent = type("Dependent", (Plugin,), needs)
        kernel = Kernel(self.assembly(directory, classes={"dependent": dependent}))
        failures: list[BaseException] = []
        try:
            async with kernel.running():
                await anyio.sleep_forever()
        except ExceptionGroup as group:
            failures = flatten(group)
        assert len(failures) == 1, f"not only the dependent failed: {failures!r}"
        assert any(isinstance(leaf, Interrupted) for leaf in _causes(failures[0])), failures
        # Nobody can depend on a plugin that provides nothing: the other may fail before it has begun.
        states = ("stopped",) if needs["requires"] else ("stopped", "waiting")
        assert kernel.assembly.nodes[self.name].state in states


class _Cut:
    """Where a lifespan is cancelled."""

    def __init__(self, method: str, number: int) -> None:
        self.method = method
        self.number = number
        self.reached = False

    def into(self, plugin: type[Plugin[Any]]) -> type[Plugin[Any]]:
        """``plugin`` with a lifespan that is cancelled here."""
        original = getattr(plugin, "covet_lifespan", None)
        if original is None:
            return plugin
        lifespan = partial(_interrupted, original, self)
        return type(plugin.__name__, (plugin,), {"covet_lifespan": _method(lifespan)})

    def step(self, work: Coroutine[Any, Any, Any], method: str, scope: anyio.CancelScope) -> Any:
        def cut() -> None:
            self.reached = True
            scope.cancel()

        return Stepped(work, self.number if method == self.method else 0, cut)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def covet_lifespan(self: Any, ctx: Any) -> Any:
        return function(self, ctx)

    return covet_lifespan


@asynccontextmanager
async def _interrupted(original: Any, cut: _Cut, plugin: Any, ctx: Any) -> AsyncIterator[None]:
    with anyio.CancelScope() as scope:
        async with _Life(original(plugin, ctx), cut, scope):
            yield
    if cut.reached:
        raise Interrupted


class _Life:
    """A lifespan both of whose ends are counted."""

    def __init__(self, life: Any, cut: _Cut, scope: anyio.CancelScope) -> None:
        self._life = life
        self._cut = cut
        self._scope = scope

    async def __aenter__(self) -> None:
        await self._cut.step(self._life.__aenter__(), "__aenter__", self._scope)

    async def __aexit__(self, *raised: object) -> Any:
        return await self._cut.step(self._life.__aexit__(*raised), "__aexit__", self._scope)


async def _crash() -> None:
    raise Interrupted


def _causes(error: BaseException) -> Iterable[BaseException]:
    return flatten(error.__cause__) if error.__cause__ else ()


def _undescribed(schema: Mapping[str, Any], name: str) -> Iterable[str]:
    for key, inner in schema.get("properties", {}).items():
        if not inner.get("description"):
            yield f"{name}.{key}"
    for key, inner in schema.get("$defs", {}).items():
        yield from _undescribed(inner, key)
