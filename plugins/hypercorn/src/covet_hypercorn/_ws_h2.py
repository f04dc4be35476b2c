"""A WebSocket over one stream of HTTP/2 (RFC 8441)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import anyio

from covet_hypercorn._ws_channel import WebSocketChannel, run_websocket

if TYPE_CHECKING:
    from covet_http import Calls, Scope
    from covet_hypercorn._connection import Connection

_OK: Final = 200

Headers = Sequence[tuple[bytes, bytes]]
SendsMessage = Callable[[Any], Awaitable[None]]


class H2Carrier:
    """A `Carrier` of one stream, which takes messages as of an answer.

    Args:
        connection: Has the stream.
        send: Sends a piece of the answer, and waits for the window.
        cut: Resets the stream.
    """

    def __init__(
        self, connection: Connection, send: SendsMessage, cut: Callable[[], Awaitable[None]]
    ) -> None:
        self._connection = connection
        self._send = send
        self._cut = cut
        # A piece is sent as windows open, and no other may get into it.
        self._sending = anyio.Lock(fast_acquire=True)
        self._finished = False

    async def accept(self, headers: Headers) -> int:
        await self._send({"type": "http.response.start", "status": _OK, "headers": headers})
        await self.write(b"")
        return _OK

    async def deny(self, status: int, headers: Headers, body: bytes) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def write(self, data: bytes) -> None:
        async with self._sending:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        self._connection.spawn(function, *args)

    def finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._connection.spawn(self._finish)

    async def _finish(self) -> None:
        async with self._sending:
            await self._send({"type": "http.response.body", "body": b""})

    def abort(self) -> None:
        self._connection.spawn(self._cut)

    def flooded(self, why: str) -> None:
        self._connection.listener.floods.note(self._connection.client, why)


class WebSocketExchange:
    """What a stream has in place of the exchange of a request.

    Args:
        calls: The gate it passes.
        scope: Of the handshake.
        channel: What the handshake becomes.
        taken: Told how many bytes were taken, so that the client may send as many again.
        logs: Whether the access log has a line for it.
    """

    def __init__(
        self,
        calls: Calls,
        scope: Scope,
        channel: WebSocketChannel,
        *,
        taken: Callable[[int], Awaitable[None]],
        logs: bool,
    ) -> None:
        self.channel = channel
        self._calls = calls
        self._scope = scope
        self._taken = taken
        self._logs = logs
        self._arrived: list[bytes] = []
        self._some = anyio.Event()

    def offer(self, message: Any, *, join: int = 0) -> None:
        """Take bytes that have come, empty at their end."""
        self._arrived.append(message["body"])
        self._some.set()

    def disconnect(self) -> None:
        """The client is gone, or its stream is."""
        self.channel.lost()

    def not_read(self) -> None:
        """The client does not read what it is sent."""
        self.channel.lost()

    async def run(self) -> None:
        """Run the application, and read beside it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read)
            await run_websocket(self._calls, self._scope, self.channel, logs=self._logs)
            # Behind a close the client's answer is still read.
            with anyio.move_on_after(self.channel.limits.close_timeout):
                await self.channel.finished.wait()
            tasks.cancel_scope.cancel()

    async def _read(self) -> None:
        while True:
            while not self._arrived:
                self._some = anyio.Event()
                await self._some.wait()
            arrived, self._arrived = self._arrived, []
            for data in arrived:
                await self.channel.feed(data)
                if not data:
                    return
                await self._taken(len(data))
