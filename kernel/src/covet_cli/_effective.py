"""The validated configuration with its sources, and the JSON Schema of ``covet.toml``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from covet_kernel import Assembly, ConfigurationError, describe, redacted

if TYPE_CHECKING:
    from pydantic import BaseModel

HIDDEN = "**********"


def effective(assembly: Assembly) -> list[dict[str, Any]]:
    """Every key with the value that counts and its source; secrets stay hidden."""
    tables: dict[tuple[str, ...], dict[str, Any]] = {}
    tables["kernel",] = assembly.kernel.model_dump(mode="json")
    tables |= {
        ("plugins", plugin["name"]): plugin["config"] for plugin in describe(assembly)["plugins"]
    }
    return [
        {"key": _dotted(*path, key), "value": value, "source": _source(assembly, (*path, key))}
        for path, table in tables.items()
        for key, value in table.items()
    ]


def explain(assembly: Assembly, key: str) -> list[dict[str, Any]]:
    """What ``key`` means and every value it was given, the one that counts first.

    Raises:
        ConfigurationError: There is no such key.
    """
    shown = {row["key"]: row for row in effective(assembly)}
    for path, model in _models(assembly).items():
        for name, field in model.model_fields.items():
            if _dotted(*path, name) != key:
                continue
            rows = [{"source": shown[key]["source"], "value": shown[key]["value"]}]
            given = assembly.settings.history.get((*path, name), [])
            weaker = list(reversed(given[:-1]))
            if given and not field.is_required():
                weaker.append(
                    ("default", field.get_default(call_default_factory=True, validated_data={}))
                )
            rows += [
                {"source": source, "value": _safe(field.annotation, value)}
                for source, value in weaker
            ]
            return [{**row, "meaning": field.description or ""} for row in rows]
    raise ConfigurationError.of("COVET-CONFIG-KEY", valid=sorted(shown), given=key, key=key or "''")


def _safe(annotation: Any, value: Any) -> Any:
    """``value`` as its model would show it, without secrets; hidden if it does not even fit."""
    from pydantic import TypeAdapter

    adapter = TypeAdapter(annotation)
    try:
        return redacted(adapter.dump_python(adapter.validate_python(value), mode="json"))
    except ValueError:
        return HIDDEN


def schema(assembly: Assembly) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of ``covet.toml`` with the enabled plugins, for editors."""
    from covet_kernel import AppConfig, InstanceConfig

    own = InstanceConfig.model_json_schema()["properties"]
    models = _models(assembly)
    tables: dict[str, Any] = {"app": AppConfig.model_json_schema(ref_template="#/$defs/{model}")}
    tables["kernel"] = models["kernel",].model_json_schema()
    plugins: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for node in assembly.nodes.values():
        prefix = re.sub(r"\W", "_", node.name)
        model = models.get(("plugins", node.name))
        template = f"#/$defs/{prefix}_{{model}}"
        table: dict[str, Any] = model.model_json_schema(ref_template=template) if model else {}
        table.setdefault("additionalProperties", False)
        definitions |= {f"{prefix}_{name}": inner for name, inner in table.pop("$defs", {}).items()}
        plugins[node.name] = {
            **table,
            "type": "object",
            "properties": {**own, **table.get("properties", {})},
        }
    tables["plugins"] = {"type": "object", "properties": plugins}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "covet.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": tables,
        "$defs": definitions,
    }


def _models(assembly: Assembly) -> dict[tuple[str, ...], type[BaseModel]]:
    models: dict[tuple[str, ...], type[BaseModel]] = {("kernel",): type(assembly.kernel)}
    return models | {
        ("plugins", node.name): type(node.config) for node in assembly.nodes.values() if node.config
    }


def _dotted(*keys: str) -> str:
    return ".".join(key if re.fullmatch(r"[\w-]+", key) else f'"{key}"' for key in keys)


def _source(assembly: Assembly, path: tuple[str, ...]) -> str:
    inside = any(known[: len(path)] == path for known in assembly.settings.history)
    return assembly.settings.source(path) if inside else "default"
