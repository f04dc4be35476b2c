"""One path of WebSockets: what runs from a handshake to the end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio

from covet_http._problem import Problems, joined
from covet_http._route import Reply, problem
from covet_http._websocket._closed import (
    GOING_AWAY,
    LONGEST_REASON,
    NORMAL,
    WebSocketClosed,
    code_of,
)
from covet_operations import Endpoint, Forbidden, OperationError, ended

if TYPE_CHECKING:
    from covet_http._websocket._binding import WebSocketBinding
    from covet_http._websocket._channel import Channel, ChannelLimits
    from covet_http._websocket._handshake import HandshakeRequest
    from covet_http._websocket._open import OpenWebSockets
    from covet_http._websocket._origins import Origins

log = logging.getLogger("covet.http")


class WebSocketRoute:
    """What answers handshakes at one path, whatever the server.

    Attributes:
        endpoint: The operation.
        binding: Its address.
        limits: What each WebSocket may cost.
        problems: Renders errors.
    """

    def __init__(
        self,
        endpoint: Endpoint[WebSocketBinding],
        problems: Problems,
        origins: Origins,
        limits: ChannelLimits,
        opened: OpenWebSockets,
    ) -> None:
        self.endpoint = endpoint
        self.operation = endpoint.operation
        self.binding = endpoint.binding
        self.limits = limits
        self.problems = problems
        self._origins = origins
        self._open = opened

    async def run(self, request: HandshakeRequest, channel: Channel, in_flight: set[Any]) -> None:
        """Answer a handshake, and stay until the handler has returned.

        Everything around a call comes before the answer: the chain refuses it as it would over HTTP.
        A WebSocket waits for hours, and what is between its task and its handler takes memory for as long,
        and time with every message; so the call is driven here, and not by a coroutine of its own.

        Args:
            request: Made for this route, with its ``websocket``.
            channel: Of the same.
            in_flight: It is in there meanwhile.
        """
        failure: OperationError | None = None
        in_flight.add(request)
        try:
            try:
                self._open.enter(request, channel)
                try:
                    self._origins.check(request)
                    if request.cause is not None:
                        raise ended(request)
                    with anyio.CancelScope(deadline=request.deadline) as scope:
                        request.scope = scope
                        await self.endpoint.start(request)
                    if scope.cancelled_caught:
                        raise ended(request)
                except Exception as error:
                    failure = self._failure(request, error)
                finally:
                    self._open.leave(request, channel)
            except OperationError as refused:
                failure = refused
            if request.websocket.accepted:
                self._close(request, channel, failure)
            elif channel.close_code is None:
                status, headers, body = self._denial(request, failure)
                await channel.deny(status, headers, body)
        finally:
            in_flight.discard(request)

    def _failure(self, request: HandshakeRequest, error: Exception) -> OperationError | None:
        """What it is closed with; ``None`` if the handler only came to the end of the messages."""
        rest: BaseException | None = error
        if isinstance(error, BaseExceptionGroup):
            rest = error.split(WebSocketClosed)[1]
        if rest is None or isinstance(rest, WebSocketClosed):
            return None
        return self.endpoint.failure(request, error)

    def _close(
        self, request: HandshakeRequest, channel: Channel, failure: OperationError | None
    ) -> None:
        if failure is None:
            channel.close(NORMAL, "")
        elif request.cause == "shutdown":
            channel.close(GOING_AWAY, "")
        else:
            channel.close(code_of(failure), failure.code[:LONGEST_REASON])

    def _denial(self, request: HandshakeRequest, failure: OperationError | None) -> Reply:
        error = failure or Forbidden("the handler has not accepted the WebSocket")
        status, headers, body = self.problems.of(error)
        if request._response is not None:
            headers += request._response.always
        return problem(status, joined(self.problems.common, headers), body)
