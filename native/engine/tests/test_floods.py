"""What is logged of clients that are cut off for floods: who, why, and not each of many."""

from __future__ import annotations

import re
import socket
from time import monotonic
from typing import Any

import anyio
import pytest

from covet_http import CHANNEL, ChannelLimits, ServerOptions, WebSocketClosed

pytest.importorskip("covet_engine._native", reason="the library is not built")

from http2_serving import pass_time

from covet_engine import EngineConfig, EngineServer

PINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5) + (
    b"\0\0\x08\6\0\0\0\0\0" + b"12345678"
) * 1200  # fmt: skip
CHANNEL_PINGS = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    + b"\x89\x80\0\0\0\0"
    * 1200
)


async def application(scope: Any, receive: Any, send: Any) -> None:
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


OTHERS = re.compile(r"; and ([0-9]+) others$")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each for each in caplog.messages if "was ended" in each]


@pytest.mark.parametrize(
    ("data", "why"),
    [(PINGS, "frames without content"), (CHANNEL_PINGS, "control frames of WebSocket")],
    ids=["http2", "websocket"],
)
async def test_the_first_is_named_and_the_rest_counted(
    data: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 28, 59: whom to block is in the log, which a flood does not fill
    bound = socket.create_server(("127.0.0.1", 0))
    bound.setblocking(False)
    address = bound.getsockname()
    server = EngineServer(EngineConfig(http2=True))
    begun = monotonic()
    async with server.listen([bound], ServerOptions(linger=0.05)) as listener:
        listener.begin(application)
        ports = [await flood(address, data)]
        first = f"a connection with ('127.0.0.1', {ports[0]}) was ended: {why}"
        assert told(caplog) == [first]
        ports.extend([await flood(address, data) for _ in range(4)])
        pass_time(listener, 10)
        ports.append(await flood(address, data))
        assert len(told(caplog)) > 1
    lines = told(caplog)
    # One in ten seconds, the one of the passed time, and what was not told when the server ended.
    assert len(lines) <= 3 + (monotonic() - begun) // 10
    assert sum(1 + int((OTHERS.search(each) or "00")[1]) for each in lines) == len(ports)
    assert f"('127.0.0.1', {ports[1]}) was ended: {why}" in lines[1]
