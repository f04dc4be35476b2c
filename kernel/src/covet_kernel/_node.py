"""One plugin instance in the graph, and where it is in its life."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from covet_kernel._plugin import Plugin, Serving

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import anyio

    from covet_kernel._model import KernelConfig
    from covet_kernel.contracts import Capability

Server = Callable[[Serving], Awaitable[None]]


class Node:
    """One plugin instance, or one plain module, in the graph.

    Attributes:
        name: The instance's name; ``type`` and ``instance`` are its parts.
        origin: Where its class came from, for people.
        depends_on: Names of the nodes that must be up while it is.
        state: ``waiting``, ``starting``, ``running``, ``stopping``, ``stopped`` or ``failed``.
        due: When its present step is overdue, on the event loop's clock.
    """

    scope: anyio.CancelScope
    stop: anyio.Event
    life: AbstractAsyncContextManager[Any] | None = None

    def __init__(
        self, name: str, plugin: Any, origin: str, kernel: KernelConfig, *, implied_by: str = ""
    ) -> None:
        self.name = name
        self.type, _, self.instance = name.partition("/")
        self.plugin = plugin
        self.origin = origin
        self.implied_by = implied_by
        own = plugin if isinstance(plugin, Plugin) else Plugin(None)
        self.config = own.config
        self.requires: tuple[Capability[Any], ...] = tuple(own.requires)
        self.wants: tuple[Capability[Any], ...] = tuple(own.wants)
        self.provides: tuple[Capability[Any], ...] = tuple(
            token if token.name else token.named(self.instance) for token in own.provides
        )
        self.depends_on: tuple[str, ...] = ()
        self.start_timeout = kernel.start_timeout
        self.stop_timeout = kernel.stop_timeout
        self.state = "waiting"
        self.due = float("inf")
        self.compilers: list[Callable[[Serving], None]] = []
        self.servers: list[tuple[Server, bool]] = []

    def same(self, other: Node) -> bool:
        """Whether ``other`` would be this very plugin, configured alike."""
        mine, theirs = (
            (type(node.plugin), node.config, node.depends_on, node.start_timeout, node.stop_timeout)
            for node in (self, other)
        )
        return mine == theirs and (self.plugin is other.plugin or isinstance(self.plugin, Plugin))
