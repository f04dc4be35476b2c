"""The WebSockets of one serving phase: counted, told when it ends, and not left to handlers that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from covet_http._websocket._closed import GOING_AWAY, NORMAL, SERVICE_RESTART
from covet_kernel.contracts import Metric
from covet_operations import Unavailable

if TYPE_CHECKING:
    from covet_http._websocket._channel import Channel
    from covet_http._websocket._handshake import HandshakeRequest


_OWN: Final = 3000


class WebSocketCounts:
    """What is counted of all phases.

    Attributes:
        open: How many handlers run.
        closed: How many WebSockets have ended, by the code they were closed with.
        refused: Handshakes that no handler has accepted.
        crowded: Handshakes for which there was no room.
    """

    def __init__(self) -> None:
        self.open = 0
        self.closed: dict[int, int] = {}
        self.refused = 0
        self.crowded = 0

    def note(self, request: HandshakeRequest, channel: Channel) -> None:
        """One has ended."""
        if not request.websocket.accepted:
            self.refused += 1
            return
        code = channel.close_code or NORMAL
        # Of an application's own codes there are thousands, and a client chooses among them.
        code = min(_OWN, code)
        self.closed[code] = self.closed.get(code, 0) + 1

    def metrics(self) -> Iterable[Metric]:
        """The same, as they are asked for."""
        yield Metric(
            name="http.websockets",
            kind="gauge",
            read=lambda: [((), float(self.open))],
            help="Handlers of WebSockets that run.",
        )
        yield Metric(
            name="http.websockets.closed",
            kind="counter",
            labels=("code",),
            read=lambda: [((str(code),), float(n)) for code, n in sorted(self.closed.items())],
            help="WebSockets that have ended, by the code they were closed with.",
        )
        for name, count, said in (
            ("refused", lambda: self.refused, "Handshakes that no handler has accepted."),
            ("crowded", lambda: self.crowded, "Handshakes for which there was no room."),
        ):
            yield Metric(
                name=f"http.websockets.{name}",
                kind="counter",
                read=partial(_alone, count),
                help=said,
            )


def _alone(count: Callable[[], int]) -> list[tuple[tuple[str, ...], float]]:
    return [((), float(count()))]


class OpenWebSockets:
    """Knows every WebSocket whose handler runs.

    Args:
        max_connections: How many there may be.
        counts: What is counted whatever the phase.
        close_timeout: Seconds a handler has to end once its WebSocket is closed. Then its operation's
            ``on_disconnect`` decides: it is cancelled, told, or left alone.

    Attributes:
        draining: Whether the phase ends: handshakes are refused.
    """

    def __init__(
        self, max_connections: int, close_timeout: float, counts: WebSocketCounts | None = None
    ) -> None:
        self._counts = counts or WebSocketCounts()
        self._most = max_connections
        self._patience = close_timeout
        self._open: dict[Channel, HandshakeRequest] = {}
        self._closed: dict[HandshakeRequest, float] = {}
        # One for all: ten thousand of them would take two megabytes.
        self._on_closed = self._closing
        self._some = anyio.Event()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, request: HandshakeRequest, channel: Channel) -> None:
        """Count one in, until `leave`.

        Args:
            request: Its handshake.
            channel: What it becomes.

        Raises:
            Unavailable: There are too many, or the phase ends; it is not counted.
        """
        if self.draining:
            raise Unavailable("the service is stopping")
        if len(self._open) >= self._most:
            self._counts.crowded += 1
            raise Unavailable("there are too many WebSockets")
        self._open[channel] = request
        self._counts.open += 1
        channel.on_closed = self._on_closed
        if channel.close_code is not None:
            self._closing(channel)

    def leave(self, request: HandshakeRequest, channel: Channel) -> None:
        """Its handler has ended."""
        channel.on_closed = None
        self._counts.note(request, channel)
        self._counts.open -= 1
        del self._open[channel]
        self._closed.pop(request, None)

    def _closing(self, channel: Channel) -> None:
        self._closed[self._open[channel]] = anyio.current_time() + self._patience
        self._some.set()

    def drain(self, *, stopping: bool) -> None:
        """Close all of them, behind what is queued: clients come back, to whoever serves then.

        Args:
            stopping: The service goes away, and is not just restarted with another configuration.
        """
        self.draining = True
        code = GOING_AWAY if stopping else SERVICE_RESTART
        for channel, request in tuple(self._open.items()):
            if request.websocket.accepted:
                finish = request.websocket.on_drain
                if finish is None:
                    channel.close(code, "")
                else:
                    channel.finishing = True
                    finish(code)
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
                request.websocket_route.endpoint.disconnect(request)
