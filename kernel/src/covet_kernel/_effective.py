"""The validated configuration with its sources, and the JSON Schema of ``covet.toml``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from covet_kernel._assembly import Assembly
from covet_kernel._errors import ConfigurationError
from covet_kernel._model import AppConfig, InstanceConfig, KernelConfig

if TYPE_CHECKING:
    from pydantic import BaseModel


def _models(assembly: Assembly) -> dict[tuple[str, ...], BaseModel]:
    models: dict[tuple[str, ...], BaseModel] = {("kernel",): assembly.kernel}
    models.update((("plugins", node.name), node.config) for node in assembly.nodes.values() if node.config)
    return models


def effective(assembly: Assembly) -> list[dict[str, Any]]:
    """Every key with the value that counts and its source; secrets stay hidden."""
    return [
        {"key": ".".join((*path, key)), "value": value, "source": _source(assembly, (*path, key))}
        for path, model in _models(assembly).items()
        for key, value in model.model_dump(mode="json").items()
    ]


def explain(assembly: Assembly, key: str) -> list[dict[str, Any]]:
    """What ``key`` means and every value it was given, the one that counts first."""
    for path, model in _models(assembly).items():
        dumped = model.model_dump(mode="json")
        for name, field in type(model).model_fields.items():
            if ".".join((*path, name)) == key:
                hidden = "Secret" in str(field.annotation)
                given = list(reversed(assembly.settings.history.get((*path, name), [])))
                rows = [(source, "**********" if hidden else value) for source, value in given]
                rows[:1] = [(_source(assembly, (*path, name)), dumped[name])]
                if given:
                    default = field.get_default(call_default_factory=False)
                    rows.append(("default", None if field.is_required() or hidden else default))
                return [{"source": source, "value": value, "meaning": field.description or ""} for source, value in rows]
    raise ConfigurationError(
        "COVET-CONFIG-KEY",
        f"there is no key {key!r} in this configuration.",
        valid=[row["key"] for row in effective(assembly)],
        given=key,
    )


def _source(assembly: Assembly, path: tuple[str, ...]) -> str:
    inside = any(known[: len(path)] == path for known in assembly.settings.history)
    return assembly.settings.source(path) if inside else "default"


def schema(assembly: Assembly) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of ``covet.toml`` with the enabled plugins, for editors."""
    own = InstanceConfig.model_json_schema()["properties"]
    plugins: dict[str, Any] = {}
    for node in assembly.nodes.values():
        table = type(node.config).model_json_schema() if node.config else {"type": "object", "additionalProperties": False}
        table["properties"] = {**own, **table.get("properties", {})}
        plugins[node.name] = table
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "covet.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "app": AppConfig.model_json_schema(),
            "kernel": KernelConfig.model_json_schema(),
            "plugins": {"type": "object", "properties": plugins},
        },
    }
