"""The state of an assembly, or of a running kernel, as plain data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covet_kernel._assembly import Assembly
    from covet_kernel._kernel import Kernel
    from covet_kernel._node import Node
    from covet_kernel._plugin import Serving
    from covet_kernel.contracts import Operation

_PASSWORD = re.compile(r"(://[^:/@\s]*:)\S*@")


def describe(assembly: Assembly, kernel: Kernel | None = None) -> dict[str, Any]:
    """Plugins in the order of start; with ``kernel`` also states, capabilities and operations."""
    described: dict[str, Any] = {"plugins": [_plugin(node) for node in assembly.nodes.values()]}
    if kernel:
        phase = kernel.phase
        described |= {"state": kernel.state, "phase": kernel.number}
        described["capabilities"] = sorted(token.id for token in kernel.provided)
        operations = phase.operations if phase else ()
        described["operations"] = [_operation(each, phase) for each in operations if phase]
    return described


def _plugin(node: Node) -> dict[str, Any]:
    plain = ("name", "type", "origin", "implied_by", "state", "depends_on")
    described = {attribute: getattr(node, attribute) for attribute in plain}
    for attribute in ("requires", "wants", "provides"):
        described[attribute] = [token.id for token in getattr(node, attribute)]
    described["config"] = redacted(node.config.model_dump(mode="json")) if node.config else {}
    return described


def _operation(operation: Operation, phase: Serving) -> dict[str, Any]:
    described = {"name": operation.name, "plugin": phase.owner(operation)}
    bindings = [f"{binding.protocol} {binding.address}" for binding in operation.bindings]
    return {**described, "effect": operation.effect, "bindings": bindings}


def redacted(value: Any) -> Any:
    """``value`` without the passwords of URLs; secret fields of the models hide themselves."""
    if isinstance(value, dict):
        return {key: redacted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    return _PASSWORD.sub(r"\1**********@", value) if isinstance(value, str) else value
