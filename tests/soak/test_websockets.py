"""WebSockets of the native engine whose clients come, talk and are killed at any moment."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import psutil  # type: ignore[import-untyped]
import pytest
import trustme
from anyio.streams.tls import TLSStream
from e2e.service import COVET, Service, environment
from services.http2_websockets import Tunnel
from services.process import free_port

from covet_http import WebSocketClosed
from covet_http.testing import Head, Headers, WebSocketSession

Record = Callable[[str, Any], None]
APPLICATION = """
import covet_http as http


@http.websocket("/talk")
async def talk(socket: http.WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)
"""
CONFIG = """
[app]
modules = ["talk"]

[plugins.http]
server = "engine"

[plugins.http.websocket]
compression = true
close_timeout = 2.0

[plugins.engine]
http2 = true
"""
TLS = """
[plugins.http.tls]
certificate = "certificate.pem"
"""
HANDSHAKE = (
    b"GET /talk HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
DEFLATE = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
CLIENTS = 40
"""At once."""
ROUND = 10.0
"""Seconds of one seed's lives, after which nothing may be left."""
KEPT = 8 << 20
"""Bytes the server's allocator may keep once it is warm."""
_GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class Plain:
    """A connection of HTTP/1.1 with the WebSocket on it."""

    closes = True

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self.stream = stream
        self._rest = b""

    async def open(self, *, deflate: bool) -> Head:
        fields = f"Sec-WebSocket-Extensions: {DEFLATE}\r\n" if deflate else ""
        await self.stream.send(HANDSHAKE + fields.encode() + b"\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += await self.stream.receive()
        head, _, self._rest = answer.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        assert status.startswith("HTTP/1.1 101 "), status
        named = (line.partition(": ") for line in lines)
        return Head(101, "", Headers((name.lower(), value) for name, _, value in named))

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def receive(self) -> bytes:
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        return await self.stream.receive()

    async def send_eof(self) -> None:
        pass


class Life:
    """One client, from its connection to its end, which is rarely a polite one."""

    def __init__(self, chance: random.Random, tally: Counter[str]) -> None:
        self.chance = chance
        self.tally = tally

    async def run(self, port: int, contexts: dict[bool, ssl.SSLContext]) -> None:
        http2 = self.chance.random() < 0.5
        stream: Any = await anyio.connect_tcp("127.0.0.1", port)
        if contexts:
            stream = await TLSStream.wrap(
                stream, hostname="localhost", ssl_context=contexts[http2], standard_compatible=False
            )
        self.tally["connections"] += 1
        try:
            await self.talk(stream, http2=http2)
        except (*_GONE, WebSocketClosed):
            self.tally["cut off"] += 1
        finally:
            with anyio.CancelScope(shield=True):
                if self.chance.random() < 0.5:
                    reset(stream)
                await anyio.aclose_forcefully(stream)

    async def talk(self, stream: anyio.abc.ByteStream, *, http2: bool) -> None:
        chance = self.chance
        # Some go at any moment, wherever they are; the others at a moment they choose.
        hasty = chance.random() < 0.3
        with anyio.move_on_after(chance.random() * 0.05 if hasty else 30) as moment:
            session = await self.session(stream, http2=http2)
            for _ in range(chance.randrange(6)):
                message = chance.randbytes(int(10 ** (chance.random() * 4.8)))
                await session.send(message)
                assert await session.receive() == message
                self.tally["messages"] += 1
            await self.leave(session)
        assert hasty or not moment.cancelled_caught, "no answer within 30 seconds"
        self.tally["killed at any moment"] += moment.cancelled_caught

    async def session(self, stream: anyio.abc.ByteStream, *, http2: bool) -> WebSocketSession:
        deflate = self.chance.random() < 0.3
        if not http2:
            plain = Plain(stream)
            return WebSocketSession(plain, await plain.open(deflate=deflate), 30)  # type: ignore[arg-type]
        tunnel = Tunnel(stream)
        fields = {"sec-websocket-version": "13"}
        if deflate:
            fields["sec-websocket-extensions"] = DEFLATE
        await tunnel.open("/talk", fields)
        if tunnel.head is None:
            raise anyio.EndOfStream
        assert tunnel.head.status == 200
        return WebSocketSession(tunnel, tunnel.head, 30)  # type: ignore[arg-type]

    async def leave(self, session: WebSocketSession) -> None:
        way = self.chance.randrange(4)
        if way == 0:
            await session.close()
            self.tally["closed"] += 1
        elif way == 1:
            # In the middle of a frame.
            await session.connection.send(b"\x82\xfe\x10\0key!some")
        elif way == 2:
            # Without having read what comes back, so that in the end neither takes more.
            with anyio.move_on_after(0.5):
                for _ in range(20):
                    await session.send(bytes(20_000))
        else:
            await session.connection.send_eof()


def reset(stream: Any) -> None:
    """Have the system send a reset instead of a polite end."""
    raw: socket.socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def secured(folder: Path) -> dict[bool, ssl.SSLContext]:
    """Give the service a certificate; what clients trust it by, that speak HTTP/2 or not."""
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        folder / "certificate.pem"
    )
    contexts = {}
    for http2 in (False, True):
        contexts[http2] = ssl.create_default_context()
        authority.configure_trust(contexts[http2])
        contexts[http2].set_alpn_protocols(["h2" if http2 else "http/1.1"])
    return contexts


async def lives(
    seed: int, until: float, port: int, contexts: dict[bool, ssl.SSLContext], tally: Counter[str]
) -> None:
    """One client after the other, as many beside each other as there may be."""

    async def one(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        while time.monotonic() < until:
            await Life(chance, tally).run(port, contexts)

    async with anyio.create_task_group() as tasks:
        for number in range(CLIENTS):
            tasks.start_soon(one, number)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("server_loop", ["asyncio", "trio"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_whoever_is_killed_leaves_nothing(
    tls: bool,
    server_loop: str,
    tmp_path: Path,
    unfinished: Callable[[], bool],
    record_property: Record,
) -> None:
    (tmp_path / "talk.py").write_text(APPLICATION, "utf-8")
    (tmp_path / "covet.toml").write_text(CONFIG + TLS * tls, "utf-8")
    contexts = secured(tmp_path) if tls else {}
    port, tally, warm = free_port(), Counter[str](), 0
    seeds: list[int] = []
    command = [COVET, "run", "-c", str(tmp_path / "covet.toml"), "--backend", server_loop]
    service = Service(
        [*command, "--set", f"plugins.http.port={port}"], port, tmp_path / "log", environment()
    )
    with service:
        process = psutil.Process(service.process.pid)
        descriptors = process.num_fds()
        while unfinished() or len(seeds) < 2:
            seeds.append(random.SystemRandom().randrange(1 << 32))
            await lives(seeds[-1], time.monotonic() + ROUND, port, contexts, tally)
            # Sooner than by any timeout: each is let go because its end was seen.
            with anyio.fail_after(10):
                while process.num_fds() > descriptors:
                    await anyio.sleep(0.1)
            warm = warm or process.memory_info().rss
            assert process.memory_info().rss - warm < KEPT, seeds
        grown = (process.memory_info().rss - warm) / 2**20
    for name in ("connections", "messages", "closed", "killed at any moment", "cut off"):
        record_property(name, f"{tally[name]:,}")
    record_property("rounds", len(seeds))
    record_property("resident memory", f"{grown:+.1f} MiB after round 1")
    assert tally["messages"] > tally["cut off"]
    assert service.process.returncode == 0
    assert "Traceback" not in service.output
