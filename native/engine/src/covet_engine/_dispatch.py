"""From the routes of covet-http to what the pool runs: a class of requests for each of them."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from covet_engine._core import Core
from covet_engine._request import EmptyRequest, EngineRequest, StreamRequest, VariableRequest
from covet_http import Limits, Route


def request_class(
    core: Core, route: Route, code: int | None, limits: Limits
) -> type[EngineRequest]:
    """The target of one route.

    What is the same for all of its requests is an attribute of their class, so that making one
    stores three numbers.

    Args:
        core: The engine.
        route: What answers.
        code: The engine's template for ``route.constant``, ``None`` where that is.
        limits: What a request may cost.
    """
    endpoint = route.endpoint
    return type(
        "EngineRequest",
        (_kind(route, code),),
        {
            "__slots__": (),
            "__module__": __name__,
            "_buffer": core.arena,
            "binding": route.binding,
            "code": code,
            "core": core,
            "endpoint": endpoint,
            "limits": limits,
            "operation": route.operation,
            "route": route,
            "start": _method(endpoint.direct or endpoint.start),
            "timeout": endpoint.timeout,
        },
    )


def _kind(route: Route, code: int | None) -> type[EngineRequest]:
    if route.streams:
        return StreamRequest
    if code is None:
        return VariableRequest
    return EmptyRequest if route.status in (204, 205) else EngineRequest


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Something that becomes a method when it is found on a class, as only plain functions do."""
    if isinstance(function, FunctionType):
        return function

    def method(request: EngineRequest) -> Any:
        return function(request)

    return method
