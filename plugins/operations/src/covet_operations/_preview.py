"""A phase that is never served: what commands look at that only describe operations."""

from __future__ import annotations

from typing import Any

from covet_kernel import Assembly, Serving
from covet_operations._marks import operations_of
from covet_operations._pipeline import OperationsConfig, Pipeline
from covet_operations._providers import providers_of

_FROM_MODULES = {"covet_operations": operations_of, "covet_providers": providers_of}


def preview(assembly: Assembly) -> tuple[Pipeline, Serving]:
    """Everything an assembly declares, checked as if it began to serve. Nothing is started.

    So hooks are asked of plugins whose lifespan was never entered: one that declares only what it
    has found out there declares nothing here, or fails. Capabilities have no providers; nothing of
    the phase can be called.

    Raises:
        ConfigurationError: Something is wrong.
        ExceptionGroup: Of all of them, if several things are.
        LifecycleError: A hook failed.
    """

    def collect(hook: str) -> list[tuple[str, Any]]:
        if not hasattr(assembly.hooks.hook, hook):
            return []
        found = assembly.declared(hook)
        marked = _FROM_MODULES.get(hook)
        if marked is not None:
            # The plugin `operations` declares these once it is up.
            found += [
                ("operations", each) for module in assembly.modules for each in marked(module)
            ]
        return found

    nodes = assembly.nodes.values()
    provided: dict[Any, Any] = {token: None for node in nodes for token in node.provides}
    serving = Serving(1, collect, provided)
    configs = (node.config for node in nodes if isinstance(node.config, OperationsConfig))
    pipeline = Pipeline(next(configs, None))
    pipeline.assemble(serving)
    return pipeline, serving
