"""A channel as ASGI messages, for applications that speak those: mounted ones, and a server's own."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel

from covet_http._server import Message
from covet_http._websocket._asgi_channel import DENIAL
from covet_http._websocket._channel import Channel, ChannelLimits
from covet_http._websocket._closed import WebSocketClosed, may_be_sent

_FORBIDDEN = 403


class DisconnectedError(OSError):
    """What ``send`` raises once the WebSocket is closed, as ASGI has it since its version 2.4."""


class ChannelMessages:
    """ASGI's ``receive`` and ``send`` of one WebSocket.

    Args:
        channel: Which one.
        limits: What it may cost.
    """

    def __init__(self, channel: Channel, limits: ChannelLimits | None = None) -> None:
        self._channel = channel
        self._limits = limits or ChannelLimits()
        self._connected = False
        self._accepted = False
        self._start: Message | None = None
        self._body = b""
        self._answered = anyio.Event()

    async def receive(self) -> Message:
        """ASGI's ``receive``."""
        if not self._connected:
            self._connected = True
            await anyio.lowlevel.checkpoint()
            return {"type": "websocket.connect"}
        await self._answered.wait()
        try:
            given = await self._channel.receive()
        except WebSocketClosed as closed:
            return {
                "type": "websocket.disconnect", "code": closed.close_code, "reason": closed.reason,
            }  # fmt: skip
        if isinstance(given, str):
            return {"type": "websocket.receive", "text": given, "bytes": None}
        return {"type": "websocket.receive", "bytes": given, "text": None}

    async def send(self, message: Message) -> None:
        """ASGI's ``send``.

        Raises:
            DisconnectedError: The WebSocket is closed.
            RuntimeError: This message does not follow the one before.
        """
        kind = message["type"]
        try:
            if self._accepted:
                await self._send(kind, message)
            elif self._channel.close_code is not None:
                raise self._channel.closed()
            else:
                await self._answer(kind, message)
        except WebSocketClosed as closed:
            raise DisconnectedError(f"the WebSocket is closed: {closed.close_code}") from None

    async def _answer(self, kind: str, message: Message) -> None:
        channel = self._channel
        if kind == "websocket.accept" and self._start is None:
            headers = [(name.lower(), value) for name, value in message.get("headers") or ()]
            await channel.accept(message.get("subprotocol"), headers, self._limits)
            self._accepted = True
            self._answered.set()
        elif kind == "websocket.close" and self._start is None:
            await self._deny(_FORBIDDEN, [(b"content-length", b"0")], b"")
        elif kind == f"{DENIAL}.start" and self._start is None:
            self._start = message
        elif kind == f"{DENIAL}.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                headers = [(name.lower(), value) for name, value in self._start.get("headers", ())]
                await self._deny(self._start["status"], headers, self._body)
        else:
            raise RuntimeError(f"{kind!r} was sent, and the handshake is not answered")

    async def _deny(self, status: int, headers: Any, body: bytes) -> None:
        if not any(name == b"content-length" for name, _ in headers):
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self._channel.deny(status, headers, body)
        self._answered.set()

    async def _send(self, kind: str, message: Message) -> None:
        channel = self._channel
        if kind == "websocket.close":
            code = message.get("code", 1000)
            channel.close(code if may_be_sent(code) else 1000, message.get("reason") or "")
            await anyio.lowlevel.checkpoint()
        elif kind == "websocket.send":
            given = message.get("text")
            if given is None:
                given = message.get("bytes") or b""
            while not channel.offer(given):
                await channel.drained()
            await anyio.lowlevel.checkpoint()
        else:
            raise RuntimeError(f"{kind!r} was sent, and the handshake is answered")
