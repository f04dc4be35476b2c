"""JSON Schemas of messages, in the dialect that AsyncAPI takes for granted."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from covet_contract._json._spots import Json

_TEMPLATE: Final = "#/components/schemas/{model}"


class Schemas:
    """Collects types, then describes all of them together, so that one model is one component.

    Attributes:
        components: By name, once `generate` was called.
    """

    def __init__(self) -> None:
        self._wanted: list[
            tuple[Json, TypeAdapter[Any], Literal["validation", "serialization"]]
        ] = []
        self.components: dict[str, Json] = {}

    def want(self, kind: Any, action: str) -> Json:
        """The schema of a type, empty until `generate` is called.

        Args:
            kind: The type.
            action: ``"receive"`` for what comes in, ``"send"`` for what goes out.
        """
        schema: Json = {}
        mode: Literal["validation", "serialization"] = (
            "validation" if action == "receive" else "serialization"
        )
        self._wanted.append((schema, TypeAdapter(kind), mode))
        return schema

    def generate(self) -> None:
        """Fill in every schema that was asked for."""
        if not self._wanted:
            return
        inputs = [(number, mode, each) for number, (_, each, mode) in enumerate(self._wanted)]
        found, shared = TypeAdapter.json_schemas(
            inputs, ref_template=_TEMPLATE, schema_generator=_Generator
        )
        for number, (schema, _, mode) in enumerate(self._wanted):
            schema.update(_in_dialect(found[number, mode]))
        self.components = {
            name: _in_dialect(each) for name, each in sorted(shared.get("$defs", {}).items())
        }


class _Generator(GenerateJsonSchema):
    """Pydantic's, but for what has no schema, and for titles that only repeat a field's name."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        # Whatever JSON it takes or gives, nothing is said of it: better than no document at all.
        return {}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _in_dialect(value: Any) -> Any:
    """A schema of 2020-12 as AsyncAPI's, which is draft 7 with a plain discriminator."""
    if isinstance(value, list):
        return [_in_dialect(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, each in value.items():
        if name in ("default", "examples", "const", "enum"):
            found[name] = each  # values, whatever they look like
        elif name == "discriminator" and isinstance(each, dict) and "propertyName" in each:
            found[name] = each["propertyName"]
        elif name in ("properties", "patternProperties", "$defs") and isinstance(each, dict):
            found[name] = {key: _in_dialect(inner) for key, inner in each.items()}
        elif name == "prefixItems":
            found["items"] = _in_dialect(each)
        elif name == "items" and "prefixItems" in value:
            found["additionalItems"] = _in_dialect(each)
        else:
            found[name] = _in_dialect(each)
    return found
