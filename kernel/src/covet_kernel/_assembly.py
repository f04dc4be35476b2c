"""From settings to a proven graph of plugin instances. Nothing here starts anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from traceback import extract_tb
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anyio

from covet_kernel._errors import ConfigurationError
from covet_kernel._hooks import Hooks
from covet_kernel._plugin import Plugin, Serving
from covet_kernel.contracts import Capability

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from importlib.metadata import EntryPoint

    from covet_kernel._model import KernelConfig, PluginConfig
    from covet_kernel._settings import Settings

GROUP = "covet.plugins"


class Node:
    """One plugin instance in the graph, and where it is in its life."""

    def __init__(self, name: str, plugin: Any, origin: str, *, implied_by: str = "") -> None:
        self.name = name
        self.type, _, self.instance = name.partition("/")
        self.plugin = plugin
        self.origin = origin
        self.implied_by = implied_by
        self.requires: tuple[Capability[Any], ...] = tuple(getattr(plugin, "requires", ()))
        self.wants: tuple[Capability[Any], ...] = tuple(getattr(plugin, "wants", ()))
        self.provides: tuple[Capability[Any], ...] = tuple(
            token if token.name else token.named(self.instance) for token in getattr(plugin, "provides", ())
        )
        self.config: PluginConfig | None = getattr(plugin, "config", None)
        self.start_timeout = self.stop_timeout = 0.0
        self.depends_on: tuple[str, ...] = ()
        self.state = "waiting"
        self.due = float("inf")
        self.scope: anyio.CancelScope
        self.stop: anyio.Event
        self.life: Any = None
        self.compilers: list[Callable[[Serving], None]] = []
        self.servers: list[tuple[Callable[[Serving], Awaitable[None]], bool]] = []

    def same(self, other: Node) -> bool:
        """Whether ``other`` would be this very plugin, configured alike."""
        mine, theirs = (
            (type(node.plugin), node.config, node.depends_on, node.start_timeout, node.stop_timeout)
            for node in (self, other)
        )
        return mine == theirs and (self.plugin is other.plugin or isinstance(self.plugin, Plugin))


class Assembly:
    """Everything enabled, in an order in which it can start.

    Attributes:
        nodes: By name, every node after those it depends on.
    """

    def __init__(
        self,
        settings: Settings,
        classes: Mapping[str, type[Plugin[Any]]] | None,
        kernel: KernelConfig,
        nodes: dict[str, Node],
        modules: tuple[ModuleType, ...],
        hooks: Hooks,
    ) -> None:
        self.settings = settings
        self.classes = classes
        self.kernel = kernel
        self.nodes = nodes
        self.modules = modules
        self.hooks = hooks

    def declared(self, hook: str) -> list[tuple[str, Any]]:
        """What every plugin's ``hook`` returned, with the plugin's name, in the order of the graph."""
        impls = {impl.plugin_name: impl.function for impl in getattr(self.hooks.hook, hook).get_hookimpls()}
        return [(name, item) for name in self.nodes if name in impls for item in impls[name]()]

    def closure(self, names: Iterable[str]) -> set[str]:
        """``names`` and everything that depends on them, directly or not."""
        found = set(names)
        for name, node in self.nodes.items():
            if not found.isdisjoint(node.depends_on):
                found.add(name)
        return found & self.nodes.keys()


def installed() -> dict[str, list[EntryPoint]]:
    """Entry points of installed plugins by id, from metadata alone: nothing is imported."""
    from importlib.metadata import entry_points

    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, {})[point.dist.name if point.dist else ""] = point
    return {name: list(points.values()) for name, points in sorted(found.items())}


def assemble(settings: Settings, classes: Mapping[str, type[Plugin[Any]]] | None = None) -> Assembly:
    """Import what is enabled, validate every configuration, and prove the graph.

    Args:
        settings: The merged configuration.
        classes: Plugin classes by id, instead of the installed ones.

    Raises:
        ExceptionGroup: Of `ConfigurationError`, all that was found wrong.
    """
    from covet_kernel._model import AppConfig, InstanceConfig, KernelConfig

    errors = settings.errors = list(settings.errors)
    kernel = settings.validate(KernelConfig, settings.table("kernel"), ("kernel",)) or KernelConfig()
    app = settings.validate(AppConfig, settings.table("app"), ("app",)) or AppConfig()
    if str(settings.directory) not in sys.path:
        sys.path.insert(0, str(settings.directory))
    points = installed() if classes is None else {}
    nodes: dict[str, Node] = {}
    pending = [(name, "") for name in settings.table("plugins")]
    while pending:
        name, implied_by = pending.pop(0)
        kind, path = name.partition("/")[0], ("plugins", name)
        if implied_by and any(node.type == kind for node in nodes.values()):
            continue
        values = settings.table(*path)
        own = {key: values.pop(key) for key in InstanceConfig.model_fields if key in values}
        instance = settings.validate(InstanceConfig, own, path)
        try:
            cls, origin = _load(kind, instance.use if instance else None, points, classes)
        except ConfigurationError as error:
            error.place = error.place or settings.source(path) or f"implied by {implied_by}"
            errors.append(error)
            continue
        if cls._config_type in (None, type(None)):
            config = None
            errors += [
                ConfigurationError("COVET-CONFIG-KEY", f"{name} takes no configuration.", place=settings.source((*path, key)))
                for key in values
            ]
        elif (config := settings.validate(cls._config_type, values, path)) is None:
            continue
        node = nodes[name] = Node(name, cls(config), origin, implied_by=implied_by)
        node.start_timeout = (instance and instance.start_timeout) or kernel.start_timeout
        node.stop_timeout = (instance and instance.stop_timeout) or kernel.stop_timeout
        pending += [(other, name) for other in node.plugin.implies]
    modules: list[ModuleType] = []
    for module_name in app.modules:
        try:
            modules.append(_import(module_name))
            nodes[module_name] = Node(module_name, modules[-1], "[app] modules")
        except ConfigurationError as error:
            error.place = settings.source(("app", "modules"))
            errors.append(error)
    hooks = _hooks(nodes, errors)
    # A graph with holes would report needs that only miss because of the errors above.
    ordered = nodes if errors else _order(nodes, errors, set(points) | set(classes or ()))
    if errors:
        raise ExceptionGroup(f"{len(errors)} configuration error{'s' * (len(errors) > 1)}", errors)
    return Assembly(settings, classes, kernel, ordered, tuple(modules), hooks)


def _load(
    kind: str, use: str | None, points: Mapping[str, list[EntryPoint]], classes: Mapping[str, type[Plugin[Any]]] | None
) -> tuple[type[Plugin[Any]], str]:
    found = points.get(kind, [])
    if use:
        module, _, attribute = use.partition(":")
        cls, origin = getattr(_import(module), attribute, None), f"use = {use!r}"
    elif classes is not None and kind in classes:
        cls, origin = classes[kind], "given"
    elif len(found) > 1:
        owners = [point.dist.name for point in found if point.dist]
        raise ConfigurationError(
            "COVET-PLUGIN-TWICE",
            f"the plugin {kind!r} is claimed by {' and '.join(owners)}.",
            fix=f"Uninstall one of them, or choose with [plugins.{kind}] use = 'module:Class'.",
        )
    elif found:
        point = found[0]
        cls = getattr(_import(point.module), point.attr, None)
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    else:
        raise ConfigurationError(
            "COVET-PLUGIN-MISSING",
            f"there is no plugin {kind!r}.",
            valid=sorted({*points, *(classes or ())}),
            given=kind,
            fix=f"Install it (pip install covet-{kind}), or name its class: use = 'module:Class'.",
        )
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        raise ConfigurationError(
            "COVET-PLUGIN-INVALID",
            f"{origin} of plugin {kind!r} is not a class derived from covet_kernel.Plugin.",
            fix="Write 'module:Class', where Class is derived from Plugin.",
        )
    return cls, origin


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except Exception as error:
        frames = extract_tb(error.__traceback__)
        raise ConfigurationError(
            "COVET-PLUGIN-IMPORT",
            f"importing {name!r} failed with {type(error).__name__}: {error}",
            place=f"{frames[-1].filename}:{frames[-1].lineno}" if len(frames) > 1 and name not in str(error) else "",
            fix="Correct the module, or install what it needs.",
        ) from error


def _hooks(nodes: Mapping[str, Node], errors: list[ConfigurationError]) -> Hooks:
    hooks = Hooks()
    for node in nodes.values():
        if hasattr(node.plugin, "covet_add_hookspecs"):
            node.plugin.covet_add_hookspecs(hooks)
    for node in nodes.values():
        try:
            hooks.add(node.plugin, node.name)
        except ConfigurationError as error:
            error.place = error.place or f"plugin {node.name} ({node.origin})"
            errors.append(error)
    errors += hooks.check()
    return hooks


def _order(nodes: dict[str, Node], errors: list[ConfigurationError], known: set[str]) -> dict[str, Node]:
    providers: dict[Capability[Any], Node] = {}
    for node in nodes.values():
        for token in node.provides:
            if token in providers:
                errors.append(
                    ConfigurationError(
                        "COVET-PROVIDE-TWICE",
                        f"{token.id!r} is provided by {providers[token].name} and by {node.name}.",
                        fix=f"Give one of them a name, such as [plugins.\"{node.type}/other\"], or disable it.",
                    )
                )
            providers[token] = node
    for node in nodes.values():
        for token in node.requires:
            if token not in providers:
                errors.append(_missing(node, token, providers, known))
        if isinstance(node.plugin, ModuleType):
            # Its operations may use whatever is provided, and it provides nothing itself.
            needed = [other.name for other in nodes.values() if not isinstance(other.plugin, ModuleType)]
        else:
            needed = [providers[token].name for token in (*node.requires, *node.wants) if token in providers]
        node.depends_on = tuple(dict.fromkeys(needed))
    try:
        order = TopologicalSorter({name: node.depends_on for name, node in nodes.items()}).static_order()
        return {name: nodes[name] for name in order}
    except CycleError as error:
        cycle: Sequence[str] = error.args[1]
        errors.append(
            ConfigurationError(
                "COVET-GRAPH-CYCLE",
                f"plugins need each other: {' -> '.join(reversed(cycle))}.",
                fix="Remove one of these needs, or turn it into a 'wants' on one side only.",
            )
        )
        return nodes


def _missing(
    node: Node, token: Capability[Any], providers: Mapping[Capability[Any], Node], known: set[str]
) -> ConfigurationError:
    ready = [plugin for plugin in token.plugins if plugin in known]
    suffix = f"/{token.name}" if token.name else ""
    tables = " or ".join(f'[plugins."{plugin}{suffix}"]' if suffix else f"[plugins.{plugin}]" for plugin in ready)
    distributions = " or ".join(f"covet-{plugin}" for plugin in token.plugins)
    return ConfigurationError(
        "COVET-NEED-MISSING",
        f"{node.name} requires {token.id!r}, which no enabled plugin provides.",
        valid=sorted(other.id for other in providers if other.base is token.base),
        fix=f"Add {tables} to covet.toml."
        if ready
        else f"Install and enable a plugin that provides it{f' (pip install {distributions})' if distributions else ''}.",
    )
