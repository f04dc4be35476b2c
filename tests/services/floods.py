"""What every server logs of clients that are cut off for floods: who, why, and not each of many."""

from __future__ import annotations

import re
import socket
from time import monotonic
from typing import Any

import anyio
import anyio.abc
import pytest
from services.http2 import PREFACE, frame

from covet_http import CHANNEL, ChannelLimits, HttpServer, ServerOptions, WebSocketClosed

PINGS = PREFACE + frame(4, 0) + frame(6, 0, b"12345678") * 1200
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
CHANNEL_PINGS = HANDSHAKE + b"\x89\x80\0\0\0\0" * 1200
FLOODS = {
    "http2": (PINGS, "frames without content"),
    "websocket": (CHANNEL_PINGS, "control frames of WebSocket"),
}
OTHERS = re.compile(r"; and ([0-9]+) others$")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Receives whatever comes by a WebSocket."""
    channel = scope["extensions"][CHANNEL]
    try:
        await channel.accept(None, [], ChannelLimits())
        while True:
            await channel.receive()
    except WebSocketClosed:
        pass


async def flood(address: tuple[str, int], data: bytes) -> int:
    """Send it until the server ends the connection; the client's port."""
    stream = await anyio.connect_tcp(*address)
    port: int = stream.extra(anyio.abc.SocketAttribute.local_port)
    async with stream:
        try:
            await stream.send(data)
            while True:
                await stream.receive()
        except (anyio.BrokenResourceError, anyio.EndOfStream):
            return port


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Lines about those that were cut off."""
    return [each for each in caplog.messages if "was ended" in each]


class FloodLogSuite:
    """A server's tests subclass it."""

    def make(self) -> HttpServer:
        """The server, with HTTP/2."""
        raise NotImplementedError

    def pass_time(self, listener: Any, seconds: float) -> None:
        """Let so much time pass for what it logs."""
        raise NotImplementedError

    @pytest.mark.parametrize("kind", FLOODS)
    async def test_the_first_is_named_and_the_rest_counted(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        # bad input 28, 59: whom to block is in the log, which a flood does not fill
        data, why = FLOODS[kind]
        bound = socket.create_server(("127.0.0.1", 0))
        bound.setblocking(False)
        address = bound.getsockname()
        begun = monotonic()
        async with self.make().listen([bound], ServerOptions(linger=0.05)) as listener:
            listener.begin(application)
            ports = [await flood(address, data)]
            first = f"a connection with ('127.0.0.1', {ports[0]}) was ended: {why}"
            assert told(caplog) == [first]
            ports.extend([await flood(address, data) for _ in range(4)])
            self.pass_time(listener, 10)
            ports.append(await flood(address, data))
            assert len(told(caplog)) > 1
        lines = told(caplog)
        # One in ten seconds, the one of the passed time, and what was not told when the server ended.
        assert len(lines) <= 3 + (monotonic() - begun) // 10
        assert sum(1 + int((OTHERS.search(each) or "00")[1]) for each in lines) == len(ports)
        assert f"('127.0.0.1', {ports[1]}) was ended: {why}" in lines[1]
