"""From settings to a proven graph of plugin instances. Nothing here starts anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from traceback import extract_tb
from types import ModuleType
from typing import TYPE_CHECKING, Any

from covet_kernel._errors import ConfigurationError, LifecycleError
from covet_kernel._hooks import Hooks
from covet_kernel._model import AppConfig, InstanceConfig, KernelConfig
from covet_kernel._node import Node
from covet_kernel._plugin import Plugin
from covet_kernel._settings import Settings
from covet_kernel.contracts import Capability

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pluggy import HookImpl

Classes = Mapping[str, type[Plugin[Any]]]


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
        """Who implements ``covet_event``; asked once, since there are many events and mostly no listener."""
        return self.hooks.hook.covet_event.get_hookimpls()

    def declared(self, hook: str) -> list[tuple[str, Any]]:
        """What every plugin's ``hook`` returned, with the plugin's name, in the order of the graph."""
        impls = {
            impl.plugin_name: impl.function
            for impl in getattr(self.hooks.hook, hook).get_hookimpls()
        }
        found: list[tuple[str, Any]] = []
        for name in filter(impls.__contains__, self.nodes):
            try:
                found += [(name, item) for item in impls[name]()]
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise LifecycleError.of(
                    "COVET-HOOK-FAILED", hook=hook, name=name, reason=reason
                ) from error
        return found

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
    for point in entry_points(group="covet.plugins"):
        found.setdefault(point.name, {})[point.dist.name if point.dist else ""] = point
    return {name: list(points.values()) for name, points in sorted(found.items())}


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
    assembly = Assembly(settings, classes, kernel or KernelConfig.model_validate({}))
    if str(settings.directory) not in sys.path:
        sys.path.insert(0, str(settings.directory))
    points = installed() if classes is None else {}
    pending = [(name, "") for name in settings.table("plugins")]
    while pending:
        name, implied_by = pending.pop(0)
        kind = name.partition("/")[0]
        if not implied_by or all(node.type != kind for node in assembly.nodes.values()):
            try:
                node = _node(assembly, name, implied_by, points)
            except ConfigurationError as error:
                error.place = (
                    error.place or settings.source(("plugins", name)) or f"implied by {implied_by}"
                )
                errors.append(error)
            else:
                if node:
                    assembly.nodes[name] = node
                    pending += [(other, name) for other in node.plugin.implies]
    for name in app.modules if app else ():
        try:
            assembly.modules += (_import(name),)
            module = Node(name, assembly.modules[-1], "[app] modules", assembly.kernel)
            assembly.nodes[name] = module
        except ConfigurationError as error:
            error.place = error.place or settings.source(("app", "modules"))
            errors.append(error)
    errors += _hook_errors(assembly)
    # A graph with holes would report needs that are missing only because of the errors above.
    if not errors:
        errors += _link(assembly, set(points) | set(classes or ()))
    if errors:
        raise ExceptionGroup(f"{len(errors)} configuration errors", errors)
    return assembly


def _node(
    assembly: Assembly, name: str, implied_by: str, points: Mapping[str, list[EntryPoint]]
) -> Node | None:
    """The instance ``name`` with its configuration; ``None`` if that is wrong, which is noted."""
    settings, path = assembly.settings, ("plugins", name)
    values = settings.table(*path)
    own = {key: values.pop(key) for key in InstanceConfig.model_fields if key in values}
    instance = settings.validate(InstanceConfig, own, path) or InstanceConfig.model_validate({})
    cls, origin = _load(name.partition("/")[0], instance.use, points, assembly.classes or {})
    config = None
    if cls.config_type is not None:
        config = settings.validate(cls.config_type, values, path)
        if config is None:
            return None
    for key in values if cls.config_type is None else ():
        settings.wrong("COVET-CONFIG-KEY", (*path, key))
    node = Node(name, cls(config), origin, assembly.kernel, implied_by=implied_by)
    node.start_timeout = instance.start_timeout or node.start_timeout
    node.stop_timeout = instance.stop_timeout or node.stop_timeout
    return node


def _load(
    kind: str, use: str | None, points: Mapping[str, list[EntryPoint]], classes: Classes
) -> tuple[type[Plugin[Any]], str]:
    found = points.get(kind, [])
    if use:
        module, _, attribute = use.partition(":")
        cls, origin = getattr(_import(module), attribute, None), f"use = {use!r}"
    elif kind in classes:
        cls, origin = classes[kind], "given"
    elif len(found) > 1:
        owners = " and ".join(point.dist.name for point in found if point.dist)
        raise ConfigurationError.of("COVET-PLUGIN-TWICE", name=kind, owners=owners)
    elif found:
        point = found[0]
        cls = getattr(_import(point.module), point.attr, None)
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    else:
        raise ConfigurationError.of(
            "COVET-PLUGIN-MISSING", valid=sorted({*points, *classes}), given=kind, name=kind
        )
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        raise ConfigurationError.of("COVET-PLUGIN-INVALID", origin=origin, name=kind)
    return cls, origin


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except Exception as error:
        last = extract_tb(error.__traceback__)[-1]
        place = "" if "importlib" in last.filename else f"{last.filename}:{last.lineno}"
        reason = f"{type(error).__name__}: {error}"
        raise ConfigurationError.of(
            "COVET-PLUGIN-IMPORT", place=place, name=name, reason=reason
        ) from error


def _hook_errors(assembly: Assembly) -> list[ConfigurationError]:
    errors: list[ConfigurationError] = []
    for node in assembly.nodes.values():
        if hasattr(node.plugin, "covet_add_hookspecs"):
            node.plugin.covet_add_hookspecs(assembly.hooks)
    for node in assembly.nodes.values():
        try:
            assembly.hooks.add(node.plugin, node.name)
        except ConfigurationError as error:
            error.place = f"plugin {node.name} ({node.origin})"
            errors.append(error)
    return errors + assembly.hooks.unknown()


def _link(assembly: Assembly, known: set[str]) -> list[ConfigurationError]:
    """Find out who depends on whom, and put the nodes in order."""
    errors: list[ConfigurationError] = []
    nodes = assembly.nodes
    providers: dict[Capability[Any], Node] = {}
    for node in nodes.values():
        for token in node.provides:
            other = providers.setdefault(token, node)
            if other is not node:
                fields = {
                    "capability": token.id,
                    "one": other.name,
                    "other": node.name,
                    "kind": node.type,
                }
                errors.append(ConfigurationError.of("COVET-PROVIDE-TWICE", **fields))
    for node in nodes.values():
        errors += [
            _missing(node, token, providers, known)
            for token in node.requires
            if token not in providers
        ]
        needed = [
            providers[token].name for token in (*node.requires, *node.wants) if token in providers
        ]
        if isinstance(node.plugin, ModuleType):
            # Its operations may use whatever is provided, and it provides nothing itself.
            needed = [other.name for other in nodes.values() if isinstance(other.plugin, Plugin)]
        node.depends_on = tuple(dict.fromkeys(needed))
    try:
        order = TopologicalSorter(
            {name: node.depends_on for name, node in nodes.items()}
        ).static_order()
        assembly.nodes = {name: nodes[name] for name in order}
    except CycleError as error:
        errors.append(
            ConfigurationError.of("COVET-GRAPH-CYCLE", cycle=" -> ".join(reversed(error.args[1])))
        )
    return errors


def _missing(
    node: Node, token: Capability[Any], providers: Mapping[Capability[Any], Node], known: set[str]
) -> ConfigurationError:
    names = [
        f'"{plugin}/{token.name}"' if token.name else plugin
        for plugin in token.plugins
        if plugin in known
    ]
    distributions = " or ".join(f"covet-{plugin}" for plugin in token.plugins)
    if names:
        advice = f"Add {' or '.join(f'[plugins.{name}]' for name in names)} to covet.toml."
    else:
        advice = f"Install and enable a plugin that provides it{f': {distributions}' if distributions else ''}."
    alike = sorted(other.id for other in providers if other.base is token.base)
    return ConfigurationError.of(
        "COVET-NEED-MISSING", valid=alike, name=node.name, capability=token.id, advice=advice
    )
