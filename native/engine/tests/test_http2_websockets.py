"""WebSockets over HTTP/2 (RFC 8441) keep the same contract on the engine."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from services.http2_websockets import Http2WebSocketSuite

from covet_http.testing import Client, WebSocketSession

pytest.importorskip("covet_engine._native", reason="the library is not built")
pytestmark = pytest.mark.once


async def is_served(socket: WebSocketSession, stream: int) -> None:
    """A request beside the WebSocket is answered."""
    tunnel: Any = socket.connection
    fields = [
        (":method", "GET"), (":scheme", "http"), (":path", "/plain"), (":authority", "a"),
    ]  # fmt: skip
    tunnel.h2.send_headers(stream, fields, end_stream=True)
    tunnel.head = None
    await tunnel._flush()
    with anyio.fail_after(30):
        while tunnel.head is None:
            await tunnel._more()
    assert tunnel.head.status == 200


class TestEngine(Http2WebSocketSuite):
    server = "engine"
    tables = {"engine": {"http2": True}}

    async def test_a_stream_that_is_reset_is_a_client_that_left(self) -> None:
        async with self.opened("/broken") as socket:
            tunnel: Any = socket.connection
            self.heard.lines.clear()
            tunnel.h2.reset_stream(tunnel.id)
            await tunnel._flush()
            await self.heard.until(("broken", 1006))
            await is_served(socket, 3)
            socket.close_code = 1006

    async def test_a_stream_that_ends_without_a_close_frame(self) -> None:
        async with self.opened("/broken") as socket:
            self.heard.lines.clear()
            await socket.ended()
            await self.heard.until(("broken", 1006))
            await is_served(socket, 3)
            socket.close_code = 1006

    async def test_what_nobody_receives_fills_a_window_and_no_more(self) -> None:
        # bad input 59
        async with self.opened("/waits", {"close_timeout": 0.05}) as socket:
            tunnel: Any = socket.connection
            message = b"\x82\xfe\x03\xe8\0\0\0\0" + bytes(1000)
            sent = 0
            with anyio.fail_after(30):
                while sent <= 65_535:
                    await tunnel.send(message)
                    sent += len(message)
            with anyio.move_on_after(0.5):
                while True:
                    await tunnel.send(message)
                    sent += len(message)
            assert sent < 400_000
            await is_served(socket, 3)
            socket.close_code = 1006

    async def test_a_broadcast_reaches_members_of_both_kinds(self) -> None:
        async with self.service() as client:
            async with (
                client.websocket("/lobby") as one,
                Client.websocket(client, "/lobby") as other,
            ):
                await self.heard.until(("entered", 2))
                await one.send("to all")
                assert await one.receive() == "to all"
                assert await other.receive() == "to all"
