"""JSON Schemas of every type in a document, generated together so that one model is one component."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

_PREFIX: Final = "#/components/schemas/"


class WantedSchema:
    """A type whose schema is known once all of them are.

    Attributes:
        schema: Empty until then.
    """

    __slots__ = ("adapter", "mode", "schema")

    def __init__(self, adapter: TypeAdapter[Any], mode: JsonSchemaMode) -> None:
        self.adapter = adapter
        self.mode = mode
        self.schema: dict[str, Any] = {}


class JsonSchemas:
    """Collects the types of a document, then generates the schemas of all of them.

    They are JSON Schemas of 2020-12, whose references are to ``#/components/schemas/``. Two models of
    one name from different modules get names made of both; which that are does not depend on the order.

    Attributes:
        components: By name, once `generate` was called.
    """

    def __init__(self) -> None:
        self._wanted: list[WantedSchema] = []
        self._known: dict[tuple[int, str], WantedSchema] = {}
        self.components: dict[str, dict[str, Any]] = {}

    def want(
        self, kind: TypeAdapter[Any] | Any, mode: Literal["validation", "serialization"]
    ) -> WantedSchema:
        """Ask for a type's schema.

        Args:
            kind: The type, or its adapter.
            mode: ``"validation"`` for what comes in, ``"serialization"`` for what goes out.
        """
        adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
        key = id(adapter), mode
        wanted = self._known.get(key)
        if wanted is None:
            # It keeps the adapter alive, so that no other can get its id.
            wanted = self._known[key] = WantedSchema(adapter, mode)
            self._wanted.append(wanted)
        return wanted

    def generate(self) -> None:
        """Fill in every `WantedSchema.schema`."""
        if not self._wanted:
            return
        inputs = [(number, each.mode, each.adapter) for number, each in enumerate(self._wanted)]
        found, shared = TypeAdapter.json_schemas(
            inputs, ref_template=_PREFIX + "{model}", schema_generator=_Generator
        )
        for number, each in enumerate(self._wanted):
            each.schema = found[number, each.mode]
        self.components = dict(shared.get("$defs", {}))

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A schema that is no reference: the component if it is one."""
        seen = 0
        while (reference := schema.get("$ref")) is not None and seen < len(self.components):
            schema = self.components[reference.removeprefix(_PREFIX)]
            seen += 1
        return schema

    @staticmethod
    def reference(name: str) -> str:
        """What refers to the component of this name."""
        return _PREFIX + name


class _Generator(GenerateJsonSchema):
    """Pydantic's, but for what has no schema, and for titles that only repeat a field's name."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        # Whatever JSON it takes or gives, nothing is said of it: better than no document at all.
        return {}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False
