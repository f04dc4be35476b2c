"""What the portable server logs of clients that are cut off for floods."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from services.floods import HANDSHAKE, FloodLogSuite, application, told
from services.http2 import Client, connected

from covet_http import HttpServer, ServerOptions
from covet_hypercorn import HypercornConfig, HypercornServer
from covet_hypercorn._floods import Floods


class TestHypercorn(FloodLogSuite):
    def make(self) -> HttpServer:
        return HypercornServer(HypercornConfig(http2=True))

    def pass_time(self, listener: Any, seconds: float) -> None:
        listener.floods._due -= seconds

    async def test_empty_fragments_of_a_websocket_are_a_flood(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        # bad input 56
        async with self.make().listen([], ServerOptions(linger=0.05)) as listener:
            listener.begin(application)
            with anyio.fail_after(30):
                async with listener.connect() as stream:  # type: ignore[attr-defined]
                    await stream.send(HANDSHAKE + b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * 1200)
                    data = b""
                    while b"\x88" not in data:  # a close frame
                        data += await stream.receive()
        why = "empty fragments of WebSocket"
        assert told(caplog) == [f"a connection with a client without an address was ended: {why}"]

    async def test_a_websocket_on_a_stream_is_told_of_and_the_others_go_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        # bad input 59
        async def by_kind(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "websocket":
                await application(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async with self.make().listen([], ServerOptions(linger=0.05)) as listener:
            listener.begin(by_kind)
            async with connected(listener) as client:
                stream = await open_websocket(client)
                for _ in range(12):
                    client.h2.send_data(stream, b"\x89\x80\0\0\0\0" * 100)
                    await client.flush()
                await client.until_over(stream)
                assert (await client.ask())[0] == 200
        assert len(told(caplog)) == 1
        assert told(caplog)[0].endswith(" was ended: control frames of WebSocket")


async def open_websocket(client: Client) -> int:
    """Its stream."""
    await client.ask()  # the settings have come with the answer
    stream: int = client.h2.get_next_available_stream_id()
    fields = [
        (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"),
        (":authority", "a"), ("sec-websocket-version", "13"),
    ]  # fmt: skip
    client.h2.send_headers(stream, fields)
    await client.flush()
    while stream not in client.status:
        await client.step()
    return stream


def test_one_line_is_logged_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    floods = Floods(lambda: now)
    with caplog.at_level(logging.WARNING, logger="covet.hypercorn"):
        floods.tell()
        floods.tell(at_last=True)
        assert caplog.messages == []  # nobody was cut off
        floods.note(("192.0.2.1", 1), "pings")
        floods.note(("192.0.2.2", 2), "resets")
        for _ in range(1200):
            floods.note(("192.0.2.3", 3), "pings")
        now += 9.9
        floods.tell()
        assert len(caplog.messages) == 1
        now += 0.1
        floods.tell()
        floods.note(None, "pings")
        floods.tell()
        floods.tell(at_last=True)
        floods.tell(at_last=True)
    assert caplog.messages == [
        "a connection with ('192.0.2.1', 1) was ended: pings",
        "a connection with ('192.0.2.2', 2) was ended: resets; and 1,200 others",
        "a connection with a client without an address was ended: pings",
    ]
