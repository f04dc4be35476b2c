"""What is sent for no purpose but to be dealt with: counted, and the connection ended."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pylsqpack
import pytest

LOAD, REJECTED, CANCELLED = 0x107, 0x10B, 0x10C
MOST = 400
"""Frames that no flood needs more of until it is noticed."""
STEP = 20
A_PACKET = 1000

pytestmark = pytest.mark.once


def varint(value: int) -> bytes:
    if value < 64:
        return bytes([value])
    return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")


def frame(kind: int, payload: bytes = b"") -> bytes:
    return varint(kind) + varint(len(payload)) + payload


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets that are used up quickly and stay so, however slow this machine is."""
    monkeypatch.setattr("covet_hypercorn._h3.RESETS", (100, 0.0))
    monkeypatch.setattr("covet_hypercorn._quic.CONTROL", (200, 0.0))
    monkeypatch.setattr("covet_hypercorn._quic.WINDOWS", (200, 0.0))


LENGTH = 15
"""Bytes of a request to wait, as aioquic sends it."""


class Waiting:
    """An application that waits until its client has gone; counts its calls.

    Attributes:
        most: That ran at once.
    """

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if scope["path"] == "/wait":
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
        finally:
            self.running -= 1


# Frames of QUIC that ask for work or an answer, each of them valid.
QUIC: dict[str, Callable[[int], bytes]] = {
    "ping": lambda n: b"\x01",
    "acknowledgements": lambda n: b"\x02\x00\x00\x00\x00",
    "reset, again": lambda n: b"\x04\x00\x00" + varint(LENGTH),
    "stop sending, again": lambda n: b"\x05\x00\x00",
    "crypto": lambda n: b"\x06\x00\x00",
    "empty stream": lambda n: b"\x0a\x00\x00",
    "windows of all": lambda n: b"\x10" + varint(1 << 20 | n),
    "windows of a stream": lambda n: b"\x11\x00" + varint(1 << 20 | n),
    "more streams": lambda n: b"\x12" + varint(200 + n),
    "more streams aside": lambda n: b"\x13" + varint(200 + n),
    "blocked": lambda n: b"\x14\x00",
    "stream blocked": lambda n: b"\x15\x00\x00",
    "streams blocked": lambda n: b"\x16\x00",
    "streams aside blocked": lambda n: b"\x17\x00",
    "connection id": lambda n: b"\x18\x01\x00\x08" + b"12345678" + bytes(16),
    "retired connection id": lambda n: b"\x19\x01",
    "path challenge": lambda n: b"\x1a" + bytes(8),
    "path response": lambda n: b"\x1b" + bytes(8),
}


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("name", QUIC)
async def test_a_flood_of_frames_ends_the_connection(
    http3: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 31
    make = QUIC[name]
    application = Waiting()
    async with http3.listening(application, keep_alive_timeout=60.0) as (_, port):
        async with http3.connected(port) as bystander, http3.connected(port) as client:
            client.quic._local_active_connection_id_limit = 100
            client.request("/wait")
            assert client.quic._streams[0].sender.highest_offset == LENGTH
            assert await client.ask() == (200, b"ok")
            sent = 0
            while client.closed is None:
                frames = [make(sent)]
                while len(frames) * len(frames[0]) < A_PACKET and len(frames) < 100:
                    frames.append(make(sent + len(frames)))
                client.inject(*frames)
                sent += len(frames)
                assert sent < MOST
                for _ in range(STEP):
                    await anyio.lowlevel.checkpoint()
            assert client.closed == LOAD
            assert await bystander.ask() == (200, b"ok")
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "was ended" in caplog.text


HEAD = pylsqpack.Encoder().encode(
    0,
    [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"a"),
        (b":path", b"/wait"),
    ],
)[1]


async def rapid_reset(client: Any) -> None:
    stream = client.request("/wait", "POST", body=None)
    client.quic.reset_stream(stream, CANCELLED)
    client.quic.stop_stream(stream, CANCELLED)
    client.wake()


async def rapid_stop(client: Any) -> None:
    stream = client.request("/wait")
    client.quic.stop_stream(stream, CANCELLED)
    client.wake()


async def made_to_reset(client: Any) -> None:
    client.raw(frame(1, HEAD[:2] + b"\xd1"))


async def made_to_reset_by_length(client: Any) -> None:
    head = HEAD + b"\x2f\x07" + b"content-length" + b"\x010"
    client.raw(frame(1, head) + frame(0, b"a"))


async def incomplete(client: Any) -> None:
    client.raw(b"")


async def unknown_streams(client: Any) -> None:
    stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
    client.raw(varint(0x21), stream=stream)


async def empty_data(client: Any) -> None:
    await on_one(client, frame(0) * 50)


async def unknown_frames(client: Any) -> None:
    await on_one(client, frame(0x21) * 50)


async def on_one(client: Any, data: bytes) -> None:
    """On the only request of the connection."""
    if 0 not in client.quic._streams:
        client.raw(frame(1, HEAD), end=False)
    client.raw(data, stream=0, end=False)


async def control(client: Any) -> None:
    assert client.h3 is not None
    client.raw(frame(0x21) * 50, stream=client.h3._local_control_stream_id, end=False)


async def decoder(client: Any) -> None:
    # One cancellation of a stream in each packet.
    assert client.h3 is not None
    stream = client.h3._local_decoder_stream_id
    client.quic.send_stream_data(stream, b"\x41")
    client.flush()


HTTP: dict[str, Callable[[Any], Awaitable[None]]] = {
    "rapid reset": rapid_reset,
    "rapid stop": rapid_stop,
    "made to reset": made_to_reset,
    "made to reset by length": made_to_reset_by_length,
    "incomplete": incomplete,
    "unknown streams": unknown_streams,
    "empty data": empty_data,
    "unknown frames": unknown_frames,
    "control": control,
    "decoder": decoder,
}


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("name", HTTP)
async def test_a_flood_of_requests_and_frames_ends_the_connection(
    http3: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 27, 28, 31
    application = Waiting()
    async with http3.listening(application, keep_alive_timeout=60.0) as (_, port):
        async with http3.connected(port) as bystander, http3.connected(port) as client:
            client.quic._local_active_connection_id_limit = 100
            for _ in range(MOST):
                await HTTP[name](client)
                for _ in range(STEP):
                    await anyio.lowlevel.checkpoint()
                if client.closed is not None:
                    break
            assert client.closed == LOAD
            assert await bystander.ask() == (200, b"ok")
            # Calls of streams that were reset count until they have ended.
            assert application.most <= 101
    assert [each.levelno for each in caplog.records] == [logging.WARNING]


async def test_calls_that_were_reset_count_until_they_have_ended(http3: Any) -> None:
    # bad input 27
    release = anyio.Event()
    running = 0

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running
        running += 1
        await release.wait()

    async with http3.listening(stubborn, config={"max_streams": 10}) as (_, port):
        async with http3.connected(port) as client:
            for n in range(10):
                stream = client.request()
                await client.until(lambda n=n: running == n + 1)
                client.quic.stop_stream(stream, CANCELLED)
                client.wake()
                await client.until_over(stream)
            for _ in range(5):
                stream = client.request()
                await client.until_over(stream)
                assert client.reset[stream] == REJECTED
            assert running == 10
            release.set()
            await client.until(lambda: not client.quic._streams_blocked_bidi)


async def test_what_a_conversation_needs_is_no_flood(http3: Any) -> None:
    application = Waiting()
    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        for n in range(150):
            client.inject(b"\x01", b"\x10" + varint(1 << 30 | n), b"\x1a" + bytes(8))
            stream = client.request("/wait")
            client.quic.stop_stream(stream, CANCELLED)
            client.wake()
            assert await client.ask() == (200, b"ok")
        assert client.closed is None


async def test_a_long_upload_in_small_pieces_is_no_flood(http3: Any) -> None:
    taken = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal taken
        more = True
        while more:
            message = await receive()
            taken, more = taken + len(message["body"]), message["more_body"]
        await http3.hello(scope, receive, send)

    async with http3.listening(application) as (_, port), http3.connected(port) as client:
        stream = client.request(method="POST", body=None)
        for _ in range(4000):
            client.data(stream, b"piece")
            if not _ % 100:
                await anyio.lowlevel.checkpoint()
        client.data(stream, b"", end=True)
        await client.until_over(stream)
        assert client.status(stream) == 200
        assert taken == 20_000


async def test_what_a_client_writes_into_aioquics_log_stays_out_of_ours(
    http3: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 40
    caplog.set_level(logging.INFO)
    reason = "gone\x1b[31m\nFAKE"

    async def leave() -> None:
        async with http3.connected(port) as client:
            await client.ask()
            client.quic.close(0x100, reason_phrase=reason)
            client.wake()
            await client.until_closed()
        while listener._connections:
            await anyio.sleep(0.001)

    async with http3.listening(http3.hello) as (listener, port):
        await leave()
        assert "FAKE" not in caplog.text
        caplog.set_level(logging.DEBUG, "covet.hypercorn")
        await leave()
        lines = [each.getMessage() for each in caplog.records if "FAKE" in each.getMessage()]
        assert lines
        assert all("\n" not in each and "\x1b" not in each for each in lines)
