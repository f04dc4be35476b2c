"""What no client of WebSocket should send, over connections in memory: each has one end, and others
are served as before.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from websocket_client import HANDSHAKE, Client, frame, protocol

from covet_engine import EngineConfig, EngineServer
from covet_http import CHANNEL, Channel, ChannelLimits, ServerOptions, WebSocketClosed

LIMITS = ChannelLimits(compression=True, max_message_bytes=100_000, message_timeout=0.3)
DEFLATE = HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
BOMB = zlib.compressobj(9, wbits=-15)
BOMB_BYTES = BOMB.compress(bytes(100_000_000)) + BOMB.flush(zlib.Z_SYNC_FLUSH)[:-4]


class Served:
    """An engine in memory, and how each WebSocket of it ended."""

    def __init__(self, listener: Any, ends: list[int]) -> None:
        self.listener = listener
        self.ends = ends

    async def end(self, handshake: bytes, *pieces: bytes) -> tuple[int, int]:
        """Open one, send these bytes; with which code it is closed, and what the handler is told."""
        stream = self.listener.connect()
        await stream.send(handshake)
        answer = b""
        with anyio.fail_after(30):
            while b"\r\n\r\n" not in answer:
                answer += await stream.receive()
            assert answer.startswith(b"HTTP/1.1 101 "), answer
            for piece in pieces:
                try:
                    await stream.send(piece)
                except anyio.BrokenResourceError:
                    break  # it has heard enough
            said = b""
            try:
                while True:
                    said += await stream.receive()
            except anyio.EndOfStream:
                pass
            while not self.ends:
                await anyio.sleep(0.001)
        at = said.rindex(b"\x88")
        return int.from_bytes(said[at + 2 : at + 4], "big"), self.ends.pop()

    async def is_well(self) -> None:
        """Others are served, and nothing is left over of those before."""
        client = Client(self.listener.connect(), protocol())
        await client.open()
        await client.send("well")
        assert await client.receive() == "well"
        await client.close()
        self.ends.clear()


@asynccontextmanager
async def serving(limits: ChannelLimits = LIMITS) -> AsyncIterator[Served]:
    ends: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        channel: Channel = scope["extensions"][CHANNEL]
        await channel.accept(None, [], limits)
        try:
            while True:
                channel.offer(await channel.receive())
        except WebSocketClosed as closed:
            ends.append(closed.close_code)

    async with EngineServer(EngineConfig()).listen([], ServerOptions()) as listener:
        listener.begin(app)
        yield Served(listener, ends)
        await listener.stop()


async def test_what_decompresses_to_far_more_is_too_big() -> None:
    # bad input 55: whole, in pieces, and the bit without compression
    cut = len(BOMB_BYTES) // 2
    async with serving() as served:
        assert await served.end(DEFLATE, frame(0xC2, BOMB_BYTES)) == (1009, 1009)
        pieces = frame(0x42, BOMB_BYTES[:cut]), frame(0x80, BOMB_BYTES[cut:])
        assert await served.end(DEFLATE, *pieces) == (1009, 1009)
        assert await served.end(HANDSHAKE, frame(0xC1, b"x")) == (1002, 1002)
        assert await served.end(DEFLATE, frame(0xC1, b"\xff\xff\xff")) == (1002, 1002)
        assert await served.end(DEFLATE, frame(0x01, b"x"), frame(0xC0, b"x")) == (1002, 1002)
        await served.is_well()


@pytest.mark.parametrize(
    "bits", ["99", "8", "16", "-9", "09", "", "9999999999999999999999", '"10', "1e1"]
)
async def test_windows_that_are_none_are_not_agreed_to(bits: str) -> None:
    # bad input 55
    offer = f"permessage-deflate; server_max_window_bits={bits}".encode()
    asked = HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: " + offer + b"\r\n\r\n"
    async with serving() as served:
        stream = served.listener.connect()
        await stream.send(asked)
        answer = await stream.receive()
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in answer.lower()
        await stream.aclose()
        while not served.ends:
            await anyio.sleep(0.001)
        await served.is_well()


async def test_fragments_without_end_are_too_many() -> None:
    # bad input 56: a million of them, empty or of one byte; lengths that are none
    async with serving() as served:
        one = frame(0x01, b"x") + frame(0x00, b"x") * 1_000_000
        assert await served.end(HANDSHAKE, one) == (1009, 1009)
        assert await served.end(HANDSHAKE, frame(0x01) + frame(0x00) * 1000) == (1008, 1008)
        top = b"\x82\xff\x80\0\0\0\0\0\0\0key!"
        assert await served.end(HANDSHAKE, top) == (1002, 1002)
        assert await served.end(HANDSHAKE, b"\x82\xff\x7f" + b"\xff" * 7 + b"key!") == (1009, 1009)
        assert await served.end(HANDSHAKE, b"\x82\xfe\0\x05key!hello") == (1002, 1002)
        await served.is_well()


async def test_what_is_announced_and_does_not_come_is_not_waited_for() -> None:
    # bad input 56, 57: a frame that stops, a message that stops between two fragments
    async with serving() as served:
        assert await served.end(HANDSHAKE, b"\x82\xfe\x10\0key!some") == (1002, 1002)
        assert await served.end(HANDSHAKE, b"\x82") == (1002, 1002)
        assert await served.end(HANDSHAKE, frame(0x02, b"begun")) == (1002, 1002)
        await served.is_well()


async def test_handshakes_that_are_none_are_refused() -> None:
    # bad input 58
    def changed(old: bytes, new: bytes) -> bytes:
        assert old in HANDSHAKE
        return HANDSHAKE.replace(old, new)

    protocols = b"Sec-WebSocket-Protocol: %b\r\n\r\n"
    cases = {
        changed(b"GET", b"POST"): 400,
        changed(b"Connection: Upgrade\r\n", b""): 400,
        changed(b"ZQ==", b"ZQ="): 400,
        changed(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""): 400,
        changed(b"Version: 13", b"Version: 8"): 426,
        changed(b"Sec-WebSocket-Version: 13\r\n", b""): 426,
        HANDSHAKE[:-2] + protocols % (b"b" + b" " * 30_000 + b"x"): 400,
        HANDSHAKE[:-2] + protocols % b"caf\xe9": 400,
        HANDSHAKE[:-2] + protocols % b",": 400,
        HANDSHAKE[:-2] + b"Content-Length: 4\r\n\r\nGET ": 400,
    }
    async with serving() as served:
        for asked, status in cases.items():
            stream = served.listener.connect()
            await stream.send(asked + HANDSHAKE)
            answer = b""
            with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
                while True:
                    answer += await stream.receive()
            assert answer.startswith(b"HTTP/1.1 %d " % status), asked
            assert answer.count(b"HTTP/1.1") == 1
        await served.is_well()


async def test_broken_frames_have_their_codes() -> None:
    # bad input 59: floods of pings, frames without a mask, text that is none
    async with serving() as served:
        assert await served.end(HANDSHAKE, frame(0x89, b"?") * 1000) == (1008, 1008)
        assert await served.end(HANDSHAKE, b"\x81\x02hi") == (1002, 1002)
        assert await served.end(HANDSHAKE, frame(0x01, b"\xc3"), frame(0x80, b"(")) == (1007, 1007)
        assert await served.end(HANDSHAKE, frame(0x81, b"\xed\xa0\x80")) == (1007, 1007)
        for first in (0x83, 0x8B, 0xA1, 0x91, 0x09, 0x80):
            assert await served.end(HANDSHAKE, frame(first, b"x")) == (1002, 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535):
            broken = frame(0x88, code.to_bytes(2, "big"))
            assert await served.end(HANDSHAKE, broken) == (1002, 1002)
        assert await served.end(HANDSHAKE, frame(0x88, b"\x03")) == (1002, 1002)
        assert await served.end(HANDSHAKE, frame(0x88, b"\x03\xe8\xff")) == (1007, 1007)
        await served.is_well()
