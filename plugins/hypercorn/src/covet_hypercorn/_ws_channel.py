"""A WebSocket of this server: messages and times between a connection's bytes and the application."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio

from covet_http import ChannelLimits, ChannelMessages, QueuedChannel
from covet_hypercorn._access import log_access
from covet_hypercorn._exchange import CLIENT_CLOSED_REQUEST, not_ours
from covet_hypercorn._ws_framing import Framing, encoded, negotiate

if TYPE_CHECKING:
    from covet_http import Calls, Scope

log = logging.getLogger("covet.hypercorn")

_NEVER: Final = float("inf")
_ABNORMAL: Final = 1006
_NORMAL: Final = 1000
_GOING_AWAY: Final = 1001
_INTERNAL: Final = 1011
_SERVER_ERROR: Final = 500
# Frames that wait are written together, up to about so many bytes.
_JOINED: Final = 65_536

Headers = Sequence[tuple[bytes, bytes]]


class Carrier(Protocol):
    """What carries a WebSocket's bytes: a connection of HTTP/1.1, or a stream of HTTP/2."""

    async def accept(self, headers: Headers) -> int:
        """Answer the handshake so that bytes can go both ways; the status of that."""

    async def deny(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the handshake with a plain answer."""

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the client is slow. Bytes for a client that has left are dropped."""

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run a task that ends with the connection."""

    def finish(self) -> None:
        """All is said, or nobody listens: close once what was written has left."""

    def abort(self) -> None:
        """Close so that the client sees that it was cut."""

    def flooded(self, why: str) -> None:
        """The client has sent too much of no use, and is cut off."""


class WebSocketChannel(QueuedChannel):
    """One WebSocket.

    Args:
        carrier: Its bytes.
        extensions: The client's ``Sec-WebSocket-Extensions``.

    Attributes:
        finished: Set once nothing more is read or written.
        sent: Bytes of messages that were written.
        status: Of the answer to the handshake, 0 before it.
    """

    def __init__(self, carrier: Carrier, extensions: bytes) -> None:
        super().__init__()
        self.finished = anyio.Event()
        self.sent = 0
        self.status = 0
        self._carrier = carrier
        self._offers = extensions
        self._framing: Framing | None = None
        self._answered = anyio.Event()
        self._bits = 0
        self._heard = monotonic()
        self._pong_by = _NEVER
        self._finish_by = _NEVER
        self._pings: dict[bytes, anyio.Event] = {}
        self._held_up = False

    # The handshake.

    async def accept(
        self, subprotocol: str | None, headers: Headers, limits: ChannelLimits
    ) -> None:
        if self.close_code is not None:
            raise self.closed()
        self.limits = limits
        lines = [*headers]
        if subprotocol is not None:
            lines.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
        extension = None
        if limits.compression and self._offers:
            extension, answer = negotiate(self._offers)
            if extension is not None:
                lines.append((b"sec-websocket-extensions", answer))
                self._bits = extension.local_max_window_bits
        self.form = (self._bits, limits.compress_from)
        # Once it is begun it is answered: it can be neither taken back nor begun anew.
        with anyio.CancelScope(shield=True):
            self.status = await self._carrier.accept(lines)
        self._framing = Framing(limits, extension)
        self._heard = monotonic()
        self._answered.set()
        self._carrier.spawn(self._write)

    async def deny(self, status: int, headers: Headers, body: bytes) -> None:
        if self.status or self.close_code is not None:
            return
        self.status = status
        self.end(_ABNORMAL, "")
        try:
            await self._carrier.deny(status, headers, body)
        finally:
            self._answered.set()
            self.over()
            self.finished.set()

    # Bytes in.

    async def feed(self, data: bytes) -> None:
        """Take bytes that have come, empty at their end; waits while nobody receives what they hold."""
        if not data:
            self.lost()
            return
        await self._answered.wait()
        framing = self._framing
        if framing is None:
            return
        self._heard = monotonic()
        self._pong_by = _NEVER
        framing.receive(data)
        if framing.flood:
            self._carrier.flooded(f"{framing.flood} of WebSocket")
            framing.flood = ""
        await self._flush()
        for payload in framing.pongs:
            waiting = self._pings.pop(payload, None)
            if waiting is not None:
                waiting.set()
        framing.pongs.clear()
        messages, framing.messages = framing.messages, []
        self._held_up = True
        try:
            for each in messages:
                await self.put(each)
        finally:
            self._held_up = False
            self._heard = monotonic()
        if framing.closed is not None:
            # Ours has been answered, or theirs is answered by now: nothing more goes out.
            self._finish(*framing.closed)

    def _finish(self, code: int, reason: str) -> None:
        self.end(code, reason)
        self.over()
        self.finished.set()
        self._carrier.finish()

    def lost(self) -> None:
        """The connection is gone, or no longer of use."""
        self.end(_ABNORMAL, "")
        self.over()
        self._answered.set()
        self.finished.set()

    @property
    def complete(self) -> bool:
        """Whether nothing more will come that anybody waits for."""
        return self._framing is not None and self._framing.complete

    # Bytes out.

    def encode(self, message: str | bytes) -> bytes:
        return encoded(message, self.limits, bits=self._bits)

    async def _write(self) -> None:
        """Write what is queued, and the close frame behind it: a task."""
        try:
            while (pieces := await self.take()) is not None:
                data = bytearray()
                for each in pieces:
                    data += each
                    if len(data) >= _JOINED:
                        await self._carrier.write(bytes(data))
                        self.sent += len(data)
                        data.clear()
                if data:
                    await self._carrier.write(bytes(data))
                    self.sent += len(data)
            framing = self._framing
            if not self._over and framing is not None and self.close_code is not None:
                framing.close(self.close_code, self.close_reason)
                self._finish_by = monotonic() + self.limits.close_timeout
                await self._flush()
        finally:
            self.over()

    async def _flush(self) -> None:
        if self._framing is not None and (data := self._framing.pending):
            await self._carrier.write(data)

    async def ping(self) -> float:
        if self.close_code is not None or self._framing is None:
            raise self.closed()
        payload, began, answered = os.urandom(4), monotonic(), anyio.Event()
        self._pings[payload] = answered
        try:
            self._framing.ping(payload)
            await self._flush()
            await answered.wait()
        finally:
            self._pings.pop(payload, None)
        if self.close_code is not None:
            raise self.closed()
        return monotonic() - began

    # Times.

    def is_due(self, now: float) -> bool:
        """Whether one of its times has passed."""
        framing = self._framing
        if framing is None:
            return False
        if now >= min(self._pong_by, self._finish_by, framing.due):
            return True
        limits = self.limits
        return (
            self.close_code is None
            and limits.ping_interval > 0
            and self._pong_by == _NEVER
            and now - self._heard >= limits.ping_interval
        )

    def expire(self, now: float) -> None:
        """Do what its times ask for."""
        framing = self._framing
        if framing is None or not self.is_due(now) or self._held_up:
            return
        if now >= self._finish_by:
            self._finish_by = _NEVER
            self.finished.set()
            self._carrier.finish()
        elif now >= self._pong_by:
            self.lost()
            self._carrier.abort()
        elif now >= framing.due:
            framing.too_slow()
            self._carrier.spawn(self._give_up)
        else:
            self._pong_by = now + self.limits.ping_timeout
            framing.ping(b"")
            self._carrier.spawn(self._flush)

    async def _give_up(self) -> None:
        assert self._framing is not None
        assert self._framing.closed is not None
        await self._flush()
        self._finish(*self._framing.closed)

    # The end.

    def end(self, code: int, reason: str) -> bool:
        news = super().end(code, reason)
        if news:
            for each in self._pings.values():
                each.set()
        return news

    def close(self, code: int, reason: str) -> None:
        self.end(code, reason)

    def abort(self) -> None:
        self.lost()
        self._carrier.abort()


async def run_websocket(
    calls: Calls, scope: Scope, channel: WebSocketChannel, *, logs: bool
) -> None:
    """Have the application answer a handshake, and end what it leaves open.

    Args:
        calls: The gate it passes.
        scope: Of the handshake, with the channel in its extensions.
        channel: Of the same.
        logs: Whether the access log has a line for it.
    """
    began = monotonic()
    application = await calls.enter()
    try:
        messages = ChannelMessages(channel)
        code = _NORMAL
        try:
            if channel.close_code is None:
                await application(scope, messages.receive, messages.send)
        except BaseException as error:
            going_on = not_ours(error)
            code = _INTERNAL if going_on is None else _GOING_AWAY
            if going_on is error:
                raise
            log.exception("the application failed outside its own error handling")
            if going_on is not None:
                raise going_on from None
        finally:
            with anyio.CancelScope(shield=True):
                if not channel.status:
                    lines = [(b"content-length", b"0")]
                    await channel.deny(_SERVER_ERROR, lines, b"")
                channel.close(code, "")
    finally:
        if logs:
            status = channel.status or CLIENT_CLOSED_REQUEST
            log_access(scope, status, monotonic() - began, channel.sent, close=channel.close_code)
        calls.leave()
