"""The hook specs, and the plugin manager that accepts plain functions named ``covet_*``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pluggy

from covet_kernel._errors import ConfigurationError
from covet_kernel._plugin import Context
from covet_kernel.contracts import (
    Authenticator,
    Authorizer,
    Event,
    HealthCheck,
    Interceptor,
    Metric,
    MigrationSource,
    Operation,
    StoreScheme,
)

if TYPE_CHECKING:
    from covet_kernel._command import Command, Console

hookspec = pluggy.HookspecMarker("covet")
"""Marks a plugin's own hook specs, for `covet_add_hookspecs`."""


class Specs:
    """Hooks wire, capabilities work: each is a plain ``def`` that returns a declaration."""

    @hookspec
    def covet_add_hookspecs(self, pm: pluggy.PluginManager) -> None:
        """Add specs of the plugin's own with ``pm.add_hookspecs``; runs before hooks are checked."""

    @hookspec
    def covet_lifespan(self, ctx: Context) -> AbstractAsyncContextManager[None]:  # type: ignore[empty-body]
        """The plugin's life, an async context manager: open, ``yield``, close.

        Entered once everything required is up and left, in the same task, after everything that
        depends on it has stopped. It is shielded from the caller's cancellation; only its start
        and stop deadlines cancel it. Raising before the yield fails the start; whenever a child
        task of it raises, the plugin has crashed and the kernel stops.
        """

    @hookspec
    def covet_commands(self) -> Sequence[Command]:  # type: ignore[empty-body]
        """Sub-commands for ``covet``."""

    @hookspec
    def covet_console(self) -> Iterable[Console]:  # type: ignore[empty-body]
        """A console that shows results and errors; the last one counts."""

    @hookspec
    def covet_operations(self) -> Iterable[Operation]:  # type: ignore[empty-body]
        """What can be called. Asked when a serving phase begins."""

    @hookspec
    def covet_interceptors(self) -> Iterable[Interceptor]:  # type: ignore[empty-body]
        """What runs around operations."""

    @hookspec
    def covet_store_schemes(self) -> Iterable[StoreScheme]:  # type: ignore[empty-body]
        """URL schemes this plugin opens."""

    @hookspec
    def covet_migrations(self) -> Iterable[MigrationSource]:  # type: ignore[empty-body]
        """Migrations this plugin brings."""

    @hookspec
    def covet_authenticators(self) -> Iterable[Authenticator]:  # type: ignore[empty-body]
        """Who can tell a principal from credentials."""

    @hookspec
    def covet_authorizers(self) -> Iterable[Authorizer]:  # type: ignore[empty-body]
        """Who votes on whether a principal may call."""

    @hookspec
    def covet_permissions(self) -> Iterable[str]:  # type: ignore[empty-body]
        """Permission names operations may require."""

    @hookspec
    def covet_health_checks(self) -> Iterable[HealthCheck]:  # type: ignore[empty-body]
        """What decides whether the process is healthy."""

    @hookspec
    def covet_metrics(self) -> Iterable[Metric]:  # type: ignore[empty-body]
        """Numbers to scrape."""

    @hookspec
    def covet_event(self, event: Event) -> None:
        """A change of state happened. Must not block; failures are logged, never raised."""


class Hooks(pluggy.PluginManager):
    """Every attribute named ``covet_*`` is a hook; anything but a plain function is refused."""

    def __init__(self) -> None:
        super().__init__("covet")
        self.add_hookspecs(Specs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        if not name.startswith("covet_"):
            return None
        method: Callable[..., Any] = getattr(plugin, name)
        if iscoroutinefunction(method) or isasyncgenfunction(method):
            raise ConfigurationError(
                "COVET-HOOK-ASYNC",
                f"the hook {name!r} is 'async def'; hooks are plain functions that return a declaration.",
                fix="Decorate it with contextlib.asynccontextmanager."
                if name == "covet_lifespan"
                else "Make it a plain 'def' and do the work in covet_lifespan.",
            )
        return {} if callable(method) else None

    def add(self, plugin: object, name: str) -> None:
        """Register a plugin's hooks.

        Raises:
            ConfigurationError: A hook is async, unknown, or takes arguments its spec has not.
        """
        try:
            self.register(plugin, name)
        except pluggy.PluginValidationError as error:
            raise ConfigurationError(
                "COVET-HOOK-INVALID",
                f"a hook of {name} does not fit its spec: {str(error).splitlines()[-1]}",
                fix="Take exactly the argument the spec names.",
            ) from error

    def check(self) -> list[ConfigurationError]:
        """Hooks that no spec knows, once all specs are there."""
        known = {name for name in vars(self.hook) if getattr(self.hook, name).has_spec()}
        return [
            ConfigurationError(
                "COVET-HOOK-UNKNOWN",
                f"{impl.plugin_name} implements the unknown hook {name!r}.",
                valid=sorted(known),
                given=name,
                fix="Correct the name, or enable the plugin that specifies it.",
            )
            for name in vars(self.hook)
            if name not in known
            for impl in getattr(self.hook, name).get_hookimpls()
        ]
