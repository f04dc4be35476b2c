"""The WebSockets of one serving phase: counted, told when it ends, and not left to handlers that do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio

from covet_http._websocket._closed import GOING_AWAY, SERVICE_RESTART
from covet_operations import Endpoint, Unavailable

if TYPE_CHECKING:
    from covet_http._websocket._channel import Channel
    from covet_http._websocket._handshake import HandshakeRequest


class OpenWebSockets:
    """Knows every WebSocket whose handler runs.

    Args:
        max_connections: How many there may be.
        close_timeout: Seconds a handler has to end once its WebSocket is closed. Then its operation's
            ``on_disconnect`` decides: it is cancelled, told, or left alone.

    Attributes:
        draining: Whether the phase ends: handshakes are refused.
    """

    def __init__(self, max_connections: int, close_timeout: float) -> None:
        self._most = max_connections
        self._patience = close_timeout
        self._open: dict[HandshakeRequest, tuple[Channel, Endpoint[Any]]] = {}
        self._closed: dict[HandshakeRequest, float] = {}
        self._some = anyio.Event()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def entered(
        self, request: HandshakeRequest, channel: Channel, endpoint: Endpoint[Any]
    ) -> Iterator[None]:
        """Count one in while the block runs.

        Args:
            request: Its handshake.
            channel: What it becomes.
            endpoint: Runs its handler.

        Raises:
            Unavailable: There are too many, or the phase ends.
        """
        if self.draining:
            raise Unavailable("the service is stopping")
        if len(self._open) >= self._most:
            raise Unavailable("there are too many WebSockets")
        self._open[request] = channel, endpoint
        channel.on_closed = lambda: self._closing(request)
        if channel.close_code is not None:
            self._closing(request)
        try:
            yield
        finally:
            channel.on_closed = None
            del self._open[request]
            self._closed.pop(request, None)

    def _closing(self, request: HandshakeRequest) -> None:
        self._closed[request] = anyio.current_time() + self._patience
        self._some.set()

    def drain(self, *, stopping: bool) -> None:
        """Close all of them, behind what is queued: clients come back, to whoever serves then.

        Args:
            stopping: The service goes away, and is not just restarted with another configuration.
        """
        self.draining = True
        code = GOING_AWAY if stopping else SERVICE_RESTART
        for request, (channel, _) in tuple(self._open.items()):
            if request.websocket.accepted:
                channel.close(code, "")
            else:
                # Its handler has not begun to speak: it is answered as any call is then.
                request.cancel("shutdown")

    async def run(self) -> None:
        """Look after handlers that do not end, until cancelled: one task for all."""
        while True:
            while not self._closed:
                self._some = anyio.Event()
                await self._some.wait()
            # Times are the same for all, so the first is the next.
            request, due = next(iter(self._closed.items()))
            await anyio.sleep_until(due)
            if self._closed.get(request) == due:
                del self._closed[request]
                self._open[request][1].disconnect(request)
