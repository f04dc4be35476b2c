"""The table ``[plugins.http.openapi]``."""

from __future__ import annotations

from pydantic import Field, field_validator

from covet_http._rules._table import RuleConfig
from covet_http._template import BadTemplateError, Parameter, parse_template


class OpenApiConfig(RuleConfig):
    """What the document says of the service as a whole, and where it is served."""

    path: str = Field(
        default="/openapi.json", description="Where the document is served; empty: nowhere."
    )
    docs_path: str = Field(
        default="/docs", description="Where people read it, in a browser; empty: nowhere."
    )
    title: str = Field(default="API", min_length=1, description="Name of the service.")
    version: str = Field(
        default="0.1.0", min_length=1, description="Version of the interface, not of OpenAPI."
    )
    description: str = Field(default="", description="What the service is for; CommonMark.")
    servers: tuple[str, ...] = Field(
        default=(), description="URLs the service is reached at; none: where the document is."
    )
    requires: tuple[str, ...] = Field(
        default=(), description="Permissions it takes to read document and pages; none: anybody."
    )
    contract: bool = Field(
        default=False,
        description="For tests: an answer that the document does not announce is a failure.",
    )

    @field_validator("path", "docs_path")
    @classmethod
    def _is_plain(cls, path: str) -> str:
        if path and any(isinstance(segment, Parameter) for segment in parse_template(path)):
            raise BadTemplateError("it has parameters")
        if path.endswith("/"):
            raise BadTemplateError("what is served below it needs a name before the last slash")
        return path
