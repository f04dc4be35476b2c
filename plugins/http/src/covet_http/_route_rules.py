"""What a single route says about itself besides where it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypedDict

from covet_http._response import header_line


class RouteRules(TypedDict, total=False):
    """Arguments that every decorator takes: ``@http.get("/books", cache="max-age=60")``.

    Attributes:
        cache: The value of ``Cache-Control`` of its successes, ``"max-age=60"``.
        etag: Whether answers to GET carry an entity tag made of their bodies, and those who have one
            already get 304; as ``[plugins.http] etags`` says unless given.
        compress: Whether its answers may be compressed, where that is configured; they may unless
            they hold a secret beside something a client has chosen.
        max_body: Bytes a request body may have; ``[plugins.http] max_body_bytes`` unless given.
        idempotency: For POST and PATCH: whether an ``Idempotency-Key`` is ``"optional"`` or
            ``"required"``; it is ignored unless given.
    """

    cache: str
    etag: bool
    compress: bool
    max_body: int
    idempotency: Literal["optional", "required"]


def check_cache(address: str, cache: str) -> Iterable[str]:
    """Say why this cannot be sent as ``Cache-Control``."""
    try:
        header_line("cache-control", cache)
    except ValueError as error:
        yield f"{address} is cached as nothing can be: {error}"
