"""Who depends on whom, proven before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from covet_kernel._errors import ConfigurationError
from covet_kernel._node import Node
from covet_kernel._plugin import Plugin
from covet_kernel.contracts import Capability

Providers = Mapping[Capability[Any], Node]


def link(
    nodes: Mapping[str, Node], known: set[str], errors: list[ConfigurationError]
) -> dict[str, Node]:
    """Set what each node depends on, and put every node after those.

    Args:
        nodes: By name.
        known: Ids of plugins that could be enabled, for advice.
        errors: Gets an error for each need that is missing or doubly provided, and for cycles.
    """
    providers: dict[Capability[Any], Node] = {}
    for token, node in [(each, one) for one in nodes.values() for each in one.provides]:
        other = providers.setdefault(token, node)
        if other is not node:
            names = {"one": other.name, "other": node.name, "kind": node.type}
            errors.append(
                ConfigurationError.of("COVET-PROVIDE-TWICE", capability=token.id, **names)
            )
    for node in nodes.values():
        missing = [token for token in node.requires if token not in providers]
        errors += [_missing(node, token, providers, known) for token in missing]
        needed = [providers[each].name for each in node.requires + node.wants if each in providers]
        if not isinstance(node.plugin, Plugin):
            # A module's operations may use whatever is provided, and it provides nothing itself.
            needed = [other.name for other in nodes.values() if isinstance(other.plugin, Plugin)]
        node.depends_on = tuple(dict.fromkeys(needed))
    sorter = TopologicalSorter({name: node.depends_on for name, node in nodes.items()})
    try:
        return {name: nodes[name] for name in sorter.static_order()}
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        errors.append(ConfigurationError.of("COVET-GRAPH-CYCLE", cycle=cycle))
        return dict(nodes)


def _missing(
    node: Node, token: Capability[Any], providers: Providers, known: set[str]
) -> ConfigurationError:
    plugins = [plugin for plugin in token.plugins if plugin in known]
    tables = [f'"{plugin}/{token.name}"' if token.name else plugin for plugin in plugins]
    advice = f"Add {' or '.join(f'[plugins.{table}]' for table in tables)} to covet.toml."
    if not tables:
        wanted = " or ".join(f"covet-{plugin}" for plugin in token.plugins)
        advice = f"Install and enable a plugin that provides it{wanted and f': {wanted}'}."
    fields = {"name": node.name, "capability": token.id, "advice": advice}
    alike = sorted(other.id for other in providers if other.base is token.base)
    return ConfigurationError.of("COVET-NEED-MISSING", valid=alike, **fields)
