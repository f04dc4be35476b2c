"""JSON Schemas in the dialect that AsyncAPI takes for granted."""

from __future__ import annotations

from typing import Any


def in_dialect(value: Any) -> Any:
    """A schema of 2020-12 as AsyncAPI's, which is draft 7 with a plain discriminator."""
    if isinstance(value, list):
        return [in_dialect(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, each in value.items():
        if name in ("default", "examples", "const", "enum"):
            found[name] = each  # values, whatever they look like
        elif name == "discriminator" and isinstance(each, dict) and "propertyName" in each:
            found[name] = each["propertyName"]
        elif name in ("properties", "patternProperties", "$defs") and isinstance(each, dict):
            found[name] = {key: in_dialect(inner) for key, inner in each.items()}
        elif name == "prefixItems":
            found["items"] = in_dialect(each)
        elif name == "items" and "prefixItems" in value:
            found["additionalItems"] = in_dialect(each)
        else:
            found[name] = in_dialect(each)
    return found
