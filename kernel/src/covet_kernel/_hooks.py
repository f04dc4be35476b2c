"""The hook specs, and the plugin manager that accepts plain functions named ``covet_*``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pluggy

from covet_kernel._errors import ConfigurationError

if TYPE_CHECKING:
    from covet_kernel import contracts
    from covet_kernel._command import Command, Console
    from covet_kernel._plugin import Context

hookspec = pluggy.HookspecMarker("covet")
"""Marks a plugin's own hook specs, for ``covet_add_hookspecs``."""


# mypy: disable-error-code="empty-body"
class Specs:
    """Hooks wire, capabilities work: each is a plain ``def`` that returns a declaration."""

    def covet_add_hookspecs(self, pm: pluggy.PluginManager) -> None:
        """Add specs of the plugin's own with ``pm.add_hookspecs``; runs before hooks are checked."""

    def covet_lifespan(self, ctx: Context) -> AbstractAsyncContextManager[None]:
        """The plugin's life, an async context manager: open, ``yield``, close.

        Entered once everything required is up and left, in the same task, after everything that
        depends on it has stopped. It is shielded from the caller's cancellation; only its start
        and stop deadlines cancel it. Raising before the yield fails the start; whenever a child
        task of it raises, the plugin has crashed and the kernel stops.
        """

    def covet_commands(self) -> Sequence[Command]:
        """Sub-commands for ``covet``."""

    def covet_console(self) -> Iterable[Console]:
        """A console that shows results and errors; the last one counts."""

    def covet_operations(self) -> Iterable[contracts.Operation]:
        """What can be called. Asked, like all below, when a serving phase begins."""

    def covet_interceptors(self) -> Iterable[contracts.Interceptor]:
        """What runs around operations."""

    def covet_store_schemes(self) -> Iterable[contracts.StoreScheme]:
        """URL schemes this plugin opens."""

    def covet_migrations(self) -> Iterable[contracts.MigrationSource]:
        """Migrations this plugin brings."""

    def covet_authenticators(self) -> Iterable[contracts.Authenticator]:
        """Who can tell a principal from credentials."""

    def covet_authorizers(self) -> Iterable[contracts.Authorizer]:
        """Who votes on whether a principal may call."""

    def covet_permissions(self) -> Iterable[str]:
        """Permission names operations may require."""

    def covet_health_checks(self) -> Iterable[contracts.HealthCheck]:
        """What decides whether the process is healthy."""

    def covet_metrics(self) -> Iterable[contracts.Metric]:
        """Numbers to scrape."""

    def covet_event(self, event: contracts.Event) -> None:
        """A change of state happened. Must not block; failures are logged, never raised."""


for _name in [name for name in vars(Specs) if name.startswith("covet_")]:
    hookspec(getattr(Specs, _name))


class Hooks(pluggy.PluginManager):
    """Every attribute named ``covet_*`` is a hook; anything but a plain function is refused."""

    def __init__(self) -> None:
        super().__init__("covet")
        self.add_hookspecs(Specs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        if not name.startswith("covet_"):
            return None
        method = getattr(plugin, name)
        if iscoroutinefunction(method) or isasyncgenfunction(method):
            raise ConfigurationError.of("COVET-HOOK-ASYNC", name=name)
        return {} if callable(method) else None

    def add(self, plugin: object, name: str) -> None:
        """Register a plugin's hooks.

        Raises:
            ConfigurationError: A hook is async, or takes arguments its spec has not.
        """
        try:
            self.register(plugin, name)
        except pluggy.PluginValidationError as error:
            reason = str(error).splitlines()[-1]
            raise ConfigurationError.of("COVET-HOOK-INVALID", name=name, reason=reason) from error

    def unknown(self) -> list[ConfigurationError]:
        """An error for each hook that no spec knows, once all specs are there."""
        known = sorted(name for name, caller in vars(self.hook).items() if caller.has_spec())
        return [
            ConfigurationError.of(
                "COVET-HOOK-UNKNOWN", valid=known, given=name, plugin=impl.plugin_name, name=name
            )
            for name, caller in vars(self.hook).items()
            if not caller.has_spec()
            for impl in caller.get_hookimpls()
        ]
