"""The hooks: what a plugin may implement, and what the kernel does with it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pluggy

    from covet_kernel import Context, contracts


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

    def covet_commands(self) -> Iterable[contracts.Command]:
        """Sub-commands for ``covet``."""

    def covet_console(self) -> Iterable[contracts.Console]:
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
