"""Anything at all on an open connection: it ends with a code or goes on, and nothing of ours fails."""

from __future__ import annotations

import logging
import random
from typing import Any

import anyio.lowlevel
import pylsqpack
import pytest

# Kinds of QUIC's frames, without those that say that the client leaves.
KINDS = [*range(0x1C), 0x1E, 0x30, 0x31, 0x3F]


def varint(value: int) -> bytes:
    return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")


def quic_frame(dice: random.Random) -> bytes:
    parts = (
        dice.choice((
            bytes([dice.randrange(64)]),
            varint(dice.randrange(1 << dice.choice((6, 14, 30, 61)))),
            dice.randbytes(dice.randint(0, 30)),
        ))
        for _ in range(dice.randint(0, 6))
    )  # fmt: skip
    return bytes([dice.choice(KINDS)]) + b"".join(parts)


def request(dice: random.Random) -> bytes:
    fields = [
        (b":method", dice.choice((b"GET", b"POST", b"CONNECT"))),
        (b":scheme", b"https"),
        (b":authority", b"a"),
        (b":path", b"/"),
        (b"content-length", b"%d" % dice.randrange(30)),
    ]
    if dice.random() < 0.5:
        fields.pop(dice.randrange(len(fields)))
    block: bytes = pylsqpack.Encoder().encode(0, fields)[1]
    return block


def http_frames(dice: random.Random) -> bytes:
    found = b""
    for _ in range(dice.randint(1, 6)):
        kind = dice.choice((0, 0, 1, 1, 1, 2, 3, 4, 5, 7, 13, 0x21, 0x41, dice.randrange(1 << 20)))
        whole = kind == 1 and dice.random() < 0.6
        payload = request(dice) if whole else dice.randbytes(dice.randint(0, 40))
        length = len(payload) if dice.random() < 0.9 else dice.randrange(100)
        found += varint(kind) + varint(length) + payload
    return found[: dice.randint(0, len(found))] if dice.random() < 0.2 else found


def act(client: Any, dice: random.Random) -> None:
    """Do one thing that a client should not."""
    choice = dice.randrange(4)
    if choice == 0:
        client.inject(*(quic_frame(dice) for _ in range(dice.randint(1, 4))))
    elif choice == 1:
        client.raw(http_frames(dice), end=dice.random() < 0.5)
    elif choice == 2:
        aside = client.quic.get_next_available_stream_id(is_unidirectional=True)
        data = bytes([dice.randrange(5)]) + http_frames(dice)
        client.raw(data, stream=aside, end=dice.random() < 0.2)
    else:
        open_ones = [each for each in client.quic._streams if each % 4 == 0]
        for stream in open_ones[:1]:
            client.quic.reset_stream(stream, 1)
            client.quic.stop_stream(stream, 1)
            client.wake()


@pytest.mark.parametrize("seed", range(4))
async def test_anything_ends_its_connection_or_nothing(
    http3: Any, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message["more_body"]
        await http3.hello(scope, receive, send)

    async with http3.listening(application, keep_alive_timeout=60.0) as (listener, port):
        async with http3.connected(port) as bystander:
            for number in range(15):
                dice = random.Random(1000 * seed + number)
                async with http3.connected(port, says_nothing=dice.random() < 0.3) as client:
                    for _ in range(dice.randint(1, 12)):
                        if client.closed is not None or client.quic._close_event is not None:
                            break
                        act(client, dice)
                        for _ in range(dice.choice((0, 1, 5))):
                            await anyio.lowlevel.checkpoint()
            assert await bystander.ask() == (200, b"ok")
            await bystander.until(lambda: len(listener._connections) == 1)
    assert caplog.text == ""
