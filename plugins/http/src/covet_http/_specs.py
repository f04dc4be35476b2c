"""The hooks this plugin adds to the kernel's."""

from __future__ import annotations

from collections.abc import Iterable

from covet_http._codecs import MediaCodec
from covet_http._fixed import Fixed
from covet_http._mounts import Mount
from covet_http._openapi._facts import Webhook
from covet_http._openapi._part import OpenApiPart
from covet_http._versions._changes import VersionChange
from covet_kernel import hookspec


class Specs:
    """Asked when a serving phase begins."""

    @hookspec
    def covet_http_fixed(self) -> Iterable[Fixed]:  # type: ignore[empty-body]
        """Answers that need no handler: `fixed` bodies and `redirect`s."""

    @hookspec
    def covet_http_version_changes(self) -> Iterable[VersionChange]:  # type: ignore[empty-body]
        """What changed between versions; ``version_changes_of(module)`` for decorated functions."""

    @hookspec
    def covet_http_openapi(self) -> Iterable[OpenApiPart | Webhook]:  # type: ignore[empty-body]
        """What the OpenAPI document says besides the operations; asked when it is made."""

    @hookspec
    def covet_http_mounts(self) -> Iterable[Mount]:  # type: ignore[empty-body]
        """ASGI applications under a prefix, each made by `mount`."""

    @hookspec
    def covet_http_codecs(self) -> Iterable[MediaCodec]:  # type: ignore[empty-body]
        """Encodings of documents besides JSON, for requests and for clients that ask for them."""
