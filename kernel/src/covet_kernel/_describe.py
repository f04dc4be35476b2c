"""The state of an assembly, or of a running kernel, as plain data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covet_kernel._assembly import Assembly
    from covet_kernel._kernel import Kernel

_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")


def describe(assembly: Assembly, kernel: Kernel | None = None) -> dict[str, Any]:
    """Plugins in the order of start; with ``kernel`` also states, capabilities and operations."""
    described: dict[str, Any] = {
        "plugins": [
            {
                "name": node.name,
                "type": node.type,
                "origin": node.origin,
                "implied_by": node.implied_by,
                "state": node.state,
                "requires": [token.id for token in node.requires],
                "wants": [token.id for token in node.wants],
                "provides": [token.id for token in node.provides],
                "depends_on": list(node.depends_on),
                "config": redacted(node.config.model_dump(mode="json")) if node.config else {},
            }
            for node in assembly.nodes.values()
        ]
    }
    if kernel:
        described["state"] = kernel.state
        described["capabilities"] = sorted(token.id for token in kernel.provided)
        described["phase"] = kernel.phase.number if kernel.phase else 0
        described["operations"] = [
            {
                "name": operation.name,
                "plugin": kernel.phase.owner(operation),
                "effect": operation.effect,
                "bindings": [f"{binding.protocol} {binding.address}" for binding in operation.bindings],
            }
            for operation in kernel.phase.operations
        ] if kernel.phase else []
    return described


def redacted(value: Any) -> Any:
    """``value`` without the passwords of URLs; secret fields of the models hide themselves."""
    if isinstance(value, dict):
        return {key: redacted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    return _PASSWORD.sub(r"\1**********@", value) if isinstance(value, str) else value
