"""From settings to plugin instances in an order that is proven. Nothing here starts anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from covet_kernel._discovery import Classes, Points, blame, installed, load_class, load_module
from covet_kernel._errors import ConfigurationError, LifecycleError
from covet_kernel._graph import link
from covet_kernel._hooks import Hooks
from covet_kernel._model import AppConfig, InstanceConfig, KernelConfig, PluginConfig
from covet_kernel._node import Node
from covet_kernel._settings import KeyPath, Settings

if TYPE_CHECKING:
    from pluggy import HookImpl


class Assembly:
    """Everything enabled, in an order in which it can start.

    Attributes:
        settings: What it was made from.
        classes: The plugin classes it was limited to, ``None`` for the installed ones.
        kernel: The ``[kernel]`` table.
        nodes: By name, every node after those it depends on.
        modules: The plain modules of ``[app] modules``.
        hooks: What the nodes implement.
    """

    def __init__(self, settings: Settings, classes: Classes | None, kernel: KernelConfig) -> None:
        self.settings = settings
        self.classes = classes
        self.kernel = kernel
        self.nodes: dict[str, Node] = {}
        self.modules: tuple[ModuleType, ...] = ()
        self.hooks = Hooks()

    @cached_property
    def listeners(self) -> list[HookImpl]:
        """Who implements ``covet_event``; kept, since events are many and listeners are few."""
        return self.hooks.hook.covet_event.get_hookimpls()

    def declared(self, hook: str) -> list[tuple[str, Any]]:
        """What every plugin's ``hook`` returned, with the plugin's name, in the order of the graph.

        Raises:
            LifecycleError: A hook raised, or returned nothing to iterate over.
        """
        found: list[tuple[str, Any]] = []
        impls = {impl.plugin_name: impl for impl in getattr(self.hooks.hook, hook).get_hookimpls()}
        for name in filter(impls.__contains__, self.nodes):
            try:
                found += [(name, item) for item in impls[name].function()]
            except Exception as error:
                fields = {"name": name, "reason": f"{type(error).__name__}: {error}"}
                raise LifecycleError.of("COVET-HOOK-FAILED", hook=hook, **fields) from error
        return found

    def closure(self, names: Iterable[str]) -> set[str]:
        """``names`` and everything that depends on them, directly or not."""
        found = set(names)
        for name, node in self.nodes.items():
            if not found.isdisjoint(node.depends_on):
                found.add(name)
        return found & self.nodes.keys()


def assemble(settings: Settings, classes: Classes | None = None) -> Assembly:
    """Import what is enabled, validate every configuration, and prove the graph.

    Args:
        settings: The merged configuration.
        classes: Plugin classes by id, instead of the installed ones.

    Raises:
        ExceptionGroup: Of `ConfigurationError`, all that was found wrong.
    """
    errors = settings.errors
    kernel = settings.validate(KernelConfig, settings.table("kernel"), ("kernel",))
    app = settings.validate(AppConfig, settings.table("app"), ("app",))
    assembly = Assembly(settings, classes, kernel or KernelConfig.model_construct())
    if str(settings.directory) not in sys.path:
        sys.path.insert(0, str(settings.directory))
    points = installed() if classes is None else {}
    _add_plugins(assembly, points)
    for name in dict.fromkeys(app.modules) if app else ():
        label = f"module {name}" if name in assembly.nodes else name
        with _noting(settings, name, ("app", "modules")):
            assembly.modules += (load_module(name),)
            module = Node(label, assembly.modules[-1], "[app] modules", assembly.kernel)
            assembly.nodes[label] = module
    _add_hooks(assembly)
    # A graph with holes would report needs that are missing only because of the errors above.
    if not errors:
        assembly.nodes = link(assembly.nodes, {*points, *(classes or ())}, errors)
    if errors:
        raise ExceptionGroup(f"{len(errors)} configuration errors", errors)
    return assembly


def _add_plugins(assembly: Assembly, points: Points) -> None:
    given, nodes = assembly.settings.table("plugins"), assembly.nodes
    pending = [(name, "") for name in given]
    while pending:
        name, implied_by = pending.pop(0)
        if implied_by and any(node.type == name for node in nodes.values()):
            continue
        asked = f"implied by {implied_by}" if implied_by else ("plugins", name)
        with _noting(assembly.settings, name, asked):
            if node := _node(assembly, name, implied_by, points):
                pending += [(other, name) for other in node.plugin.implies if other not in given]
                nodes[name] = node


def _node(assembly: Assembly, name: str, implied_by: str, points: Points) -> Node | None:
    """The instance ``name`` with its configuration; ``None`` if that is wrong, which is noted."""
    settings, path = assembly.settings, ("plugins", name)
    values = settings.table(*path)
    own = {key: values.pop(key) for key in InstanceConfig.model_fields if key in values}
    instance = settings.validate(InstanceConfig, own, path) or InstanceConfig.model_construct()
    cls, origin = load_class(name.partition("/")[0], instance.use, points, assembly.classes or {})
    config = settings.validate(cls.config_type or PluginConfig, values, path)
    if config is None and cls.config_type:
        return None
    plugin = cls(config if cls.config_type else None)
    node = Node(name, plugin, origin, assembly.kernel, implied_by=implied_by)
    node.start_timeout = instance.start_timeout or node.start_timeout
    node.stop_timeout = instance.stop_timeout or node.stop_timeout
    return node


def _add_hooks(assembly: Assembly) -> None:
    settings, hooks = assembly.settings, assembly.hooks
    nodes = [(node, f"plugin {node.name} ({node.origin})") for node in assembly.nodes.values()]
    for node, place in nodes:
        if hasattr(node.plugin, "covet_add_hookspecs"):
            with _noting(settings, node.name, place):
                node.plugin.covet_add_hookspecs(hooks)
    for node, place in nodes:
        with _noting(settings, node.name, place):
            hooks.add(node.plugin, node.name)
    settings.errors += hooks.unknown()


@contextmanager
def _noting(settings: Settings, name: str, place: str | KeyPath) -> Iterator[None]:
    """Note whatever goes wrong with one plugin or module, and go on to the next.

    Args:
        settings: Gets the error.
        name: Whose error it is.
        place: Where to look unless the error knows better: in words, or a key of the settings.
    """
    try:
        yield
    except (Exception, SystemExit) as raised:
        error = raised
        if not isinstance(error, ConfigurationError):
            error = blame("COVET-PLUGIN-FAILED", name, raised)
        error.place = error.place or (place if isinstance(place, str) else settings.source(place))
        settings.errors.append(error)
