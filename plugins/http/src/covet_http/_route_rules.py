"""What a single route says about itself besides where it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypedDict

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


_ELSEWHERE: Final = {
    "callbacks": "@http.openapi(callbacks=...)",
    "dependencies": "requires= of the operation, or a provider that the handler takes",
    "deprecated": "@operation(deprecated=True)",
    "description": "the docstring",
    "errors": "@operation(errors=...)",
    "host": "http.Group(host=...)",
    "include_in_schema": "@http.openapi(hidden=True)",
    "name": "@operation(name=...)",
    "operation_id": "@operation(name=...)",
    "requires": "@operation(requires=...)",
    "response_class": "media_type=, or what the handler returns",
    "response_model": "the return annotation",
    "responses": "@operation(errors=...), or @http.openapi(answers=...)",
    "status_code": "status=",
    "summary": "@operation(summary=...), or the docstring's first line",
    "tags": "@operation(tags=...)",
    "transaction": "@operation(transaction=...)",
}
"""Where what routes of other frameworks, or of other decorators, say is said."""


def check_rules(rules: Iterable[str], accepted: Iterable[str]) -> None:
    """Refuse arguments that no decorator takes.

    Args:
        rules: Names of the arguments.
        accepted: What the decorators take besides `RouteRules`.

    Raises:
        TypeError: One is unknown.
    """
    for name in rules:
        if name not in RouteRules.__annotations__:
            told = _ELSEWHERE.get(name)
            known = ", ".join([*accepted, *RouteRules.__annotations__])
            raise TypeError(
                f"a route has no argument {name!r}: "
                + (f"say it with {told}" if told else f"it takes {known}")
            )


def check_cache(address: str, cache: str) -> Iterable[str]:
    """Say why this cannot be sent as ``Cache-Control``."""
    try:
        header_line("cache-control", cache)
    except ValueError as error:
        yield f"{address} is cached as nothing can be: {error}"
