"""From the routes of covet-http to what the pool runs: a class of requests for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from covet_engine._arguments import arguments_of
from covet_engine._core import Core
from covet_engine._exchange import Exchange, Target
from covet_engine._request import (
    Answered,
    EmptyRequest,
    EngineRequest,
    EventsRequest,
    ResultRequest,
    StreamRequest,
    UnroutedRequest,
    VariableRequest,
)
from covet_http import Choice, Dispatcher, PreparedAnswer, Route
from covet_operations import OperationError


def request_class(
    core: Core, route: Route, code: int | None, dispatcher: Dispatcher
) -> type[EngineRequest]:
    """The target of one route.

    What is the same for all of its requests is an attribute of their class, so that making one
    stores three numbers.

    Args:
        core: The engine.
        route: What answers.
        code: The engine's template for ``route.constant``, ``None`` where that is.
        dispatcher: What all routes share.
    """
    endpoint = route.endpoint
    arguments = arguments_of(route)
    return type(
        "EngineRequest",
        (_kind(route, code),),
        {
            "__slots__": (),
            "__module__": __name__,
            "_buffer": core.arena,
            "_unpack": None if arguments is None else staticmethod(arguments.unpack),
            "binding": route.binding,
            "code": code,
            "core": core,
            "endpoint": endpoint,
            "events": dispatcher.events,
            "limits": dispatcher.limits_of(route),
            "operation": route.operation,
            "route": route,
            "secure": core.secure,
            "start": _method(endpoint.direct or endpoint.start),
            "timeout": endpoint.timeout,
        },
    )


def chooser(
    core: Core, choice: Choice, classes: Mapping[Route, Target], dispatcher: Dispatcher
) -> Target:
    """The target where more than the method and the path decide.

    Args:
        core: The engine.
        choice: Decides.
        classes: The targets of the routes it may choose.
        dispatcher: Renders refusals.
    """
    looked_at = _unrouted(core)

    def target(handle: int, at: int, size: int, flags: int) -> Exchange:
        request: EngineRequest = looked_at(handle, at, size, flags)
        method = request.method
        try:
            found = choice.choose(method, request.header)
        except OperationError as error:
            return Answered(core, handle, dispatcher.refusal(error, request.header))
        if isinstance(found, PreparedAnswer):
            return Answered(core, handle, found.to(method, request.raw_headers))
        return classes[found](handle, at, size, flags)

    return target


def redirector(core: Core, dispatcher: Dispatcher) -> Target:
    """The target of paths that have a slash too much or too little at their end."""
    looked_at = _unrouted(core)

    def target(handle: int, at: int, size: int, flags: int) -> Exchange:
        request: EngineRequest = looked_at(handle, at, size, flags)
        moved = dispatcher.moved(request.path, request.query_string, request.header)
        return Answered(core, handle, moved)

    return target


def _unrouted(core: Core) -> type[UnroutedRequest]:
    return type("EngineRequest", (UnroutedRequest,), {
        "__slots__": (), "__module__": __name__, "_buffer": core.arena, "core": core,
    })  # fmt: skip


def _kind(route: Route, code: int | None) -> type[EngineRequest]:
    if route.streams:
        return EventsRequest if route.events else StreamRequest
    if route.varies:
        return ResultRequest
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
