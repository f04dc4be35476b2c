"""A WebSocket by ASGI messages, where another server holds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio

from covet_http._server import Message, Receive, Scope, Send
from covet_http._websocket._channel import ChannelLimits, Headers, Text
from covet_http._websocket._closed import NO_STATUS, TOO_BIG
from covet_http._websocket._queued import QueuedChannel

DENIAL: Final = "websocket.http.response"
"""ASGI's extension by which a handshake is answered with a plain HTTP answer."""


class AsgiChannel(QueuedChannel):
    """Keeps what limits it can: frames, pings and compression are the outer server's.

    What is `buffered` here is what that server has not taken; what it then keeps is its own.

    Args:
        scope: Of the handshake.
        receive: ASGI's.
        send: ASGI's.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._accepted = anyio.Event()
        self._written = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Receive and send while the block runs, and say what is left when it is left."""
        message = await self._receive()
        if message["type"] != "websocket.connect":
            raise RuntimeError(
                f"'websocket.connect' has to come first, and not {message['type']!r}"
            )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read)
            tasks.start_soon(self._write)
            try:
                yield
            finally:
                if self.close_code is None:
                    self.abort()
                elif self._accepted.is_set():
                    with anyio.move_on_after(self.limits.close_timeout, shield=True):
                        await self._written.wait()
            tasks.cancel_scope.cancel()

    async def _read(self) -> None:
        while not self._over:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                self.end(message.get("code", NO_STATUS), message.get("reason") or "")
                self.over()
                return
            given: Any = message.get("text")
            if given is None:
                given = message.get("bytes", b"")
            size = len(given.encode()) if isinstance(given, str) else len(given)
            if size > self.limits.max_message_bytes:
                self.close(TOO_BIG, "the message is too long")
                return
            await self.put(given)

    async def _write(self) -> None:
        try:
            await self._accepted.wait()
            while (pieces := await self.take()) is not None:
                for each in pieces:
                    await self._send(each)
            if not self._over:
                code = NO_STATUS if self.close_code is None else self.close_code
                await self._send(
                    {"type": "websocket.close", "code": code, "reason": self.close_reason}
                )
        except OSError:
            pass  # ASGI 2.4: the client has left, and the reader is told how
        finally:
            self.over()
            self._written.set()

    def encode(self, message: Text) -> Message:
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.send", kind: message}

    async def accept(
        self, subprotocol: str | None, headers: Headers, limits: ChannelLimits
    ) -> None:
        if self.close_code is not None:
            raise self.closed()
        self.limits = limits
        await self._send(
            {"type": "websocket.accept", "subprotocol": subprotocol, "headers": [*headers]}
        )
        self._accepted.set()

    async def deny(self, status: int, headers: Headers, body: bytes) -> None:
        if self.close_code is not None:
            return
        self.over()
        if DENIAL not in (self._scope.get("extensions") or {}):
            # Which has the server answer 403, whatever we would say.
            await self._send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        start = {"type": f"{DENIAL}.start", "status": status, "headers": [*headers]}
        await self._send(start)
        await self._send({"type": f"{DENIAL}.body", "body": body})

    async def ping(self) -> float:
        raise NotImplementedError("an ASGI server sends its pings by itself")

    def close(self, code: int, reason: str) -> None:
        self.end(code, reason)

    def abort(self) -> None:
        self.over()
