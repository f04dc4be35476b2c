"""What one media type of a request or an answer holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from covet_http._media import EVENT_STREAM
from covet_http._openapi._json import Json
from covet_operations import WantedSchema

Schema: TypeAlias = "WantedSchema | Json"


class DescribedBody:
    """What one media type holds.

    Attributes:
        schema: Of the whole, or of one item of a stream.
        stream: Whether it is a stream of items.
        examples: By name.
    """

    def __init__(
        self, schema: Schema, *, stream: bool = False, examples: Mapping[str, Any] | None = None
    ) -> None:
        self.schema = schema
        self.stream = stream
        self.examples = dict(examples or {})

    def written(self, media_type: str) -> Json:
        """The Media Type Object."""
        schema = schema_of(self.schema)
        if media_type == EVENT_STREAM:
            # Tools take a schema here for that of an event, whose data is a text.
            media: Json = {"x-itemSchema": schema}
        elif self.stream:
            # 3.1 can describe the whole only; 3.2 calls the other one `itemSchema`.
            media = {
                "schema": {"type": "string", "description": "One item after the other."},
                "x-itemSchema": schema,
            }
        else:
            media = {"schema": schema}
        if self.examples:
            media["examples"] = {name: {"value": each} for name, each in self.examples.items()}
        return media


def schema_of(schema: Schema) -> Json:
    """A schema, once all that are wanted are generated."""
    return schema.schema if isinstance(schema, WantedSchema) else schema
