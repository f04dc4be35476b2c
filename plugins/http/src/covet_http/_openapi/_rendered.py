"""The documents of a service that is not started, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from covet_http._binding import HttpBinding
from covet_http._config import HttpConfig
from covet_http._openapi._document import build, encode
from covet_http._versions._changes import version_changes_of
from covet_http._versions._plan import Versions

if TYPE_CHECKING:
    from covet_kernel import Assembly, Serving
    from covet_operations import ContractView, Pipeline


def render(
    serving: Serving,
    pipeline: Pipeline,
    config: HttpConfig,
    versions: Versions | None,
    version: str = "",
) -> str:
    """The document, as `build` makes it, with a line for each member."""
    document = build(serving, pipeline, config, versions, version)
    return encode(document, indent=2).decode() + "\n"


def render_all(view: ContractView, config: HttpConfig) -> Mapping[str, str]:
    """Every document by its file's name: one, or one for each version that a header names."""
    serving, pipeline = view.serving, view.pipeline
    versions = versions_of(view.assembly, serving, config)
    if versions is None or versions.config.by == "path":
        return {"openapi.json": render(serving, pipeline, config, versions)}
    return {
        f"openapi-{version}.json": render(serving, pipeline, config, versions, version)
        for version in versions.served
    }


def versions_of(assembly: Assembly, serving: Serving, config: HttpConfig) -> Versions | None:
    """The declared versions of an API, ``None`` where there are none."""
    if config.versions is None:
        return None
    # The plugin declares those of modules once it is up.
    marked = [("http", each) for module in assembly.modules for each in version_changes_of(module)]
    bindings = [
        each
        for operation in serving.operations
        for each in operation.bindings
        if isinstance(each, HttpBinding)
    ]
    changes = [*serving.collect("covet_http_version_changes"), *marked]
    return Versions(config.versions, changes, bindings)
