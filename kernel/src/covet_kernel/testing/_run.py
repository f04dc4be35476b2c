"""A kernel made of given classes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from covet_kernel import Assembly, Kernel, Plugin, Settings, assemble


def assembly_of(
    classes: Mapping[str, type[Plugin[Any]]],
    config: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    directory: Path | None = None,
    **tables: Mapping[str, Any],
) -> Assembly:
    """Assemble ``classes``, each enabled once unless ``config`` names instances of its type.

    Args:
        classes: Plugin classes by id.
        config: Tables by instance name, such as ``{"postgres/analytics": {...}}``.
        directory: What relative paths in configurations start from; the current one by default.
        tables: The ``app`` and ``kernel`` tables.
    """
    plugins = dict(config or {})
    types = {name.partition("/")[0] for name in plugins}
    plugins.update((kind, {}) for kind in classes if kind not in types)
    settings = Settings(directory)
    settings.put((), {"plugins": plugins, **tables}, "test")
    return assemble(settings, classes)


@asynccontextmanager
async def run_kernel(
    classes: Mapping[str, type[Plugin[Any]]],
    config: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    directory: Path | None = None,
    **tables: Mapping[str, Any],
) -> AsyncIterator[Kernel]:
    """Run a kernel of ``classes`` around the block; see `assembly_of` for the arguments.

    Raises:
        ExceptionGroup: What failed to assemble, start, run or stop.
    """
    async with Kernel(
        assembly_of(classes, config, directory=directory, **tables)
    ).running() as kernel:
        yield kernel
