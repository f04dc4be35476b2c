"""What plugins add to the document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covet_http._openapi._description import Description


class OpenApiPart:
    """A plugin's part of the OpenAPI document, for ``covet_http_openapi``. A subclass overrides what it needs.

    An interceptor that changes what callers see has the method `describe` itself and needs no part.
    """

    def describe(self, description: Description) -> None:
        """Add to what the document says of one operation at one route."""

    def finish(self, document: dict[str, Any]) -> None:
        """Change the document when everything is in it."""
