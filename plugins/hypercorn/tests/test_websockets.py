"""WebSockets over sockets: a real client, slow readers, peers that vanish, and any bytes at all."""

from __future__ import annotations

import json
import logging
import socket
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

import covet_http as http
from covet_http import ChannelLimits
from covet_http.testing import run_service
from covet_hypercorn import Hypercorn
from covet_hypercorn._ws_framing import Framing, encoded, negotiate
from covet_kernel import Plugin
from covet_kernel.testing import cancel_at_every_await, run_kernel
from covet_operations import Operations, operations_of

_closed: list[int | None] = []


class Echoing(Plugin[None]):
    @http.websocket("/echo", subprotocols=("a",))
    async def echo(self, socket: http.WebSocket) -> None:
        await socket.accept()
        async for message in socket:
            await socket.send(message)
        _closed.append(socket.close_code)

    @http.websocket("/flood")
    async def flood(self, socket: http.WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send(bytes(60_000))
        finally:
            _closed.append(socket.close_code)

    def covet_operations(self) -> Any:
        return operations_of(self)


@asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[str]:
    """The service on a port, and where its WebSockets are."""
    _closed.clear()
    classes = {"operations": Operations, "hypercorn": Hypercorn, "http": http.Http, "e": Echoing}
    tables = {"http": {"port": 0, "server": "hypercorn", "linger": 0.0, **config}}
    async with run_kernel(classes, tables) as kernel:
        yield kernel.require(http.HTTP).urls[0].replace("http", "ws")


async def told() -> None:
    """Return when a handler has ended."""
    with anyio.fail_after(30):
        while not _closed:
            await anyio.sleep(0.01)


async def in_a_thread(function: Any, *arguments: Any) -> Any:
    return await anyio.to_thread.run_sync(function, *arguments)


def opened(url: str) -> socket.socket:
    """A WebSocket's bare socket."""
    host, port = url.removeprefix("ws://").split(":")
    raw = socket.create_connection((host, int(port)))
    raw.sendall(
        b"GET /echo HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b" 101 " in raw.recv(1000)
    return raw


@pytest.mark.parametrize("compression", [True, False])
async def test_a_client_of_another_kind(compression: bool) -> None:
    def talk(url: str) -> None:
        with connect(f"{url}/echo", subprotocols=["b", "a"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "a"
            assert bool(ws.protocol.extensions) == compression
            for message in ("", "ü" * 1000, b"\x00" * 200_000):
                ws.send(message)
                assert ws.recv() == message
            ws.send(["in ", "several ", "parts"])
            assert ws.recv() == "in several parts"
            assert ws.ping().wait(30)

    async with serving(websocket={"compression": compression}) as url:
        await in_a_thread(talk, url)
        await told()
    assert _closed == [1000]


async def test_clients_with_small_windows_are_sent_what_they_can_read() -> None:
    part = bytes(n * n % 251 for n in range(200))
    message = part + bytes(20_000) + part

    def talk(url: str) -> None:
        offers = [ClientPerMessageDeflateFactory(server_max_window_bits=bits) for bits in (9, 15)]
        for offer in offers:
            with connect(f"{url}/echo", extensions=[offer], compression=None) as ws:
                assert ws.response is not None
                answer = ws.response.headers["sec-websocket-extensions"]
                assert f"server_max_window_bits={offer.server_max_window_bits}" in answer
                ws.send(message)
                assert ws.recv() == message

    async with serving(websocket={"compression": True}) as url:
        await in_a_thread(talk, url)


async def test_a_reader_that_stops_costs_no_more_than_its_queue() -> None:
    stalled = threading.Event()

    def begin(url: str) -> None:
        with connect(f"{url}/flood", max_queue=1) as ws:
            ws.recv()
            assert stalled.wait(30)
            with pytest.raises(ConnectionClosed):
                while True:
                    ws.recv(30)

    async with (
        serving(write_timeout=0.3, keep_alive_timeout=0.3) as url,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(in_a_thread, begin, url)
        await told()
        assert _closed == [1006]
        stalled.set()


async def test_a_peer_that_resets() -> None:
    def reset(url: str) -> None:
        with opened(url) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with serving() as url:
        await in_a_thread(reset, url)
        await told()
    assert _closed == [1006]


async def test_a_peer_that_falls_silent() -> None:
    limits = {"ping_interval": 0.1, "ping_timeout": 0.1}
    async with serving(websocket=limits, keep_alive_timeout=0.2) as url:
        with await in_a_thread(opened, url):
            await told()
    assert _closed == [1006]


async def test_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    def talk(url: str) -> None:
        with connect(f"{url}/echo") as ws:
            ws.send("12345")
            ws.recv()
            ws.close(4000)

    classes = {"operations": Operations, "hypercorn": Hypercorn, "http": http.Http, "e": Echoing}
    tables = {"http": {"port": 0, "server": "hypercorn"}, "hypercorn": {"access_log": True}}
    with caplog.at_level(logging.INFO, "covet.http.access"):
        async with run_kernel(classes, tables) as kernel:
            await in_a_thread(talk, kernel.require(http.HTTP).urls[0].replace("http", "ws"))
    (line,) = [
        json.loads(each.getMessage()) for each in caplog.records if each.name.endswith("access")
    ]
    assert (line["status"], line["target"], line["close"], line["bytes"]) == (101, "/echo", 4000, 7)


# The frames themselves, without a connection.

TEXTS = st.text(max_size=200)
MESSAGES = st.lists(TEXTS | st.binary(max_size=200), max_size=8)


def masked(frame: bytes) -> bytes:
    """A server's frame as a client's, with a key of zeros."""
    head = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
    return frame[:1] + bytes([frame[1] | 0x80]) + frame[2:head] + bytes(4) + frame[head:]


@given(MESSAGES, st.integers(1, 40), st.booleans())
@settings(deadline=None)
def test_any_messages_in_any_pieces(messages: list[str | bytes], size: int, deflate: bool) -> None:
    limits = ChannelLimits(compress_from=10, max_control_frames=1)
    extension = negotiate(b"permessage-deflate")[0] if deflate else None
    framing = Framing(limits, extension)
    bits = 15 if deflate else 0
    data = b"".join(masked(encoded(each, limits, bits=bits)) for each in messages)
    for at in range(0, len(data), size):
        framing.receive(data[at : at + size])
    assert framing.messages == messages
    assert framing.closed is None
    assert framing.due == float("inf")


@given(st.lists(st.binary(max_size=60), max_size=10))
@settings(deadline=None)
def test_any_bytes_end_in_messages_or_a_code(pieces: list[bytes]) -> None:
    framing = Framing(ChannelLimits(max_message_bytes=100), negotiate(b"permessage-deflate")[0])
    for piece in pieces:
        framing.receive(piece)
    assert all(len(each) <= 100 for each in framing.messages)
    if framing.closed is not None:
        code, _ = framing.closed
        assert code in {1002, 1007, 1008, 1009, 1005} or 1000 <= code <= 4999


@given(st.binary(max_size=200))
def test_any_offer_is_answered_or_passed_over(offer: bytes) -> None:
    extension, answer = negotiate(offer)
    assert (extension is None) == (answer == b"")


@given(st.integers(9, 15), st.integers(1, 300), st.integers(0, 40_000))
@settings(deadline=None)
def test_a_window_is_never_left(bits: int, period: int, gap: int) -> None:
    extension, answer = negotiate(f"permessage-deflate; server_max_window_bits={bits}".encode())
    assert extension is not None
    assert f"server_max_window_bits={bits}".encode() in answer
    part = bytes(n * n % 251 for n in range(period))
    message = part + bytes(gap) + part * 3
    frame = encoded(message, ChannelLimits(compress_from=0), bits=extension.local_max_window_bits)
    head = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
    # Little by little: within one piece of output zlib looks back as far as that goes.
    reader, found, rest = zlib.decompressobj(wbits=-bits), b"", frame[head:] + b"\0\0\xff\xff"
    while piece := reader.decompress(rest, 200):
        found += piece
        rest = reader.unconsumed_tail
    assert found == message


def test_a_window_that_cannot_be_kept_is_not_agreed_to() -> None:
    # zlib finds repetitions in windows of 512 bytes and more.
    assert negotiate(b"permessage-deflate; server_max_window_bits=8") == (None, b"")
    extension, answer = negotiate(
        b"permessage-deflate; server_max_window_bits=8, permessage-deflate"
    )
    assert extension is not None
    assert extension.local_max_window_bits == 15
    assert b"window" not in answer


async def test_cancelled_at_any_moment_nothing_is_left() -> None:
    async with run_service(Echoing, server="hypercorn") as client:

        async def round_trip() -> None:
            async with client.websocket("/echo") as ws:
                await ws.send("x")
                assert await ws.receive() == "x"

        assert await cancel_at_every_await(round_trip) > 3
        await round_trip()


async def test_what_is_cancelled_loses_nothing() -> None:
    class Impatient(Plugin[None]):
        @http.websocket("/")
        async def gather(self, socket: http.WebSocket) -> None:
            await socket.accept()
            got: list[Any] = []
            cancelled = 0
            while len(got) < 10:
                for wait in (socket.receive, socket.ping, socket.drained):
                    with anyio.CancelScope() as scope:
                        scope.cancel()
                        if isinstance(message := await wait(), str):
                            got.append(message)
                    cancelled += scope.cancelled_caught
                await anyio.lowlevel.checkpoint()
            assert cancelled
            await socket.send(" ".join(got))

        def covet_operations(self) -> Any:
            return operations_of(self)

    async with (
        run_service(Impatient, server="hypercorn") as client,
        client.websocket("/") as ws,
    ):
        for number in range(10):
            await ws.send(str(number))
        assert await ws.receive() == "0 1 2 3 4 5 6 7 8 9"
