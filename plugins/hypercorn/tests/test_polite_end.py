"""A stop ends every connection politely: what runs is answered, streams of events end whole."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import h2.config
import h2.connection
import h2.events
import pytest
import trustme
from anyio.streams.tls import TLSStream

import covet_http as http
from covet_http.testing import Client, Connection, run_service


@http.get("/ticks", stream="events")
async def ticks() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()


class Held:
    """Where `/held` waits."""

    started: anyio.Event
    release: anyio.Event


@http.get("/held")
async def held() -> str:
    Held.started.set()
    await Held.release.wait()
    return "held"


class Ending:
    """A service that runs until it is told to stop, by somebody who stays.

    Attributes:
        leave: Tells it.
    """

    def __init__(self, client: Client, tls: ssl.SSLContext | None) -> None:
        listener = client.kernel.require(http.HTTP).listener
        assert isinstance(listener, http.MemoryListener)
        self.client = client
        self.leave = anyio.Event()
        self._listener = listener
        self._tls = tls

    async def connect(self) -> anyio.abc.ByteStream:
        """A stream that tells a polite end from a cut one, under TLS."""
        stream = self._listener.connect()
        if self._tls is None:
            return stream
        return await TLSStream.wrap(stream, hostname="localhost", ssl_context=self._tls)


@asynccontextmanager
async def ending(folder: Path, *, secured: bool, http2: bool) -> AsyncIterator[Ending]:
    Held.started, Held.release = anyio.Event(), anyio.Event()
    table: dict[str, Any] = {"linger": 0.05}
    context = None
    if secured:
        authority = trustme.CA()
        path = folder / "both.pem"
        issued = authority.issue_cert("localhost").private_key_and_cert_chain_pem
        issued.write_to_path(str(path))
        table["tls"] = {"certificate": str(path)}
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
    found: list[Ending] = []
    ready = anyio.Event()

    async def host() -> None:
        tables = {"hypercorn": {"http2": http2}, "http": table}
        async with run_service(ticks, held, server="hypercorn", config=tables) as client:
            found.append(Ending(client, context))
            ready.set()
            await found[0].leave.wait()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host)
            await ready.wait()
            yield found[0]


async def end_of(connection: Connection) -> bytes:
    """What comes until the end, which must not be a cut."""
    data = b""
    try:
        while True:
            data += await connection.stream.receive()
    except anyio.EndOfStream:
        return data


@pytest.mark.parametrize("secured", [False, True])
async def test_over_http_1(tmp_path: Path, secured: bool) -> None:
    async with ending(tmp_path, secured=secured, http2=False) as service:
        streaming = Connection(await service.connect())
        busy = Connection(await service.connect())
        idle = Connection(await service.connect())
        await streaming.send(service.client.encode("GET", "/ticks"))
        assert (await streaming.head()).status == 200
        first = await streaming.piece()
        while b"data: 1\n\n" not in first:
            first += await streaming.piece()
        await busy.send(service.client.encode("GET", "/held"))
        await Held.started.wait()
        service.leave.set()
        # Whole, or `piece` would say that it is cut off.
        await streaming.rest()
        assert await end_of(idle) == b""
        Held.release.set()
        answer = await busy.answer()
        assert answer.json() == "held"
        assert answer.headers["connection"] == "close"
        for connection in (streaming, busy):
            assert await end_of(connection) == b""
        for connection in (streaming, busy, idle):
            await connection.reset()


class Http2:
    """A client of one connection."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.body: dict[int, bytes] = {}
        self.ended: set[int] = set()

    async def get(self, path: str) -> int:
        stream = self.h2.get_next_available_stream_id()
        names = {":method": "GET", ":scheme": "http", ":authority": "localhost", ":path": path}
        self.h2.send_headers(stream, list(names.items()), end_stream=True)
        await self.stream.send(self.h2.data_to_send())
        return stream

    async def step(self) -> None:
        data = await self.stream.receive()
        # h2 takes GOAWAY for the end of all; this client waits for what it was promised.
        data = data.replace(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff" + bytes(4), b"")
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.body[event.stream_id] = self.body.get(event.stream_id, b"") + event.data
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            assert not isinstance(event, h2.events.StreamReset)
        if answer := self.h2.data_to_send():
            await self.stream.send(answer)


@pytest.mark.parametrize("secured", [False, True])
async def test_over_http_2(tmp_path: Path, secured: bool) -> None:
    async with ending(tmp_path, secured=secured, http2=True) as service:
        client = Http2(await service.connect())
        streaming = await client.get("/ticks")
        while b"data: 1\n\n" not in client.body.get(streaming, b""):
            await client.step()
        busy = await client.get("/held")
        await Held.started.wait()
        service.leave.set()
        while streaming not in client.ended:
            await client.step()
        assert busy not in client.ended
        Held.release.set()
        while busy not in client.ended:
            await client.step()
        assert client.body[busy] == b'"held"'
        with pytest.raises(anyio.EndOfStream):
            while True:
                await client.step()
        await anyio.aclose_forcefully(client.stream)


@pytest.mark.parametrize("politely", [False, True])
@pytest.mark.parametrize("http2", [False, True])
async def test_a_client_that_leaves_is_no_failure(
    tmp_path: Path, http2: bool, politely: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with ending(tmp_path, secured=True, http2=http2) as service:
        for path in ("/missing", "/ticks"):
            stream = await service.connect()
            if http2:
                client = Http2(stream)
                await client.get(path)
                while not client.body:
                    await client.step()
            else:
                await stream.send(service.client.encode("GET", path))
                await stream.receive()
            if politely:
                # What the server says last comes behind the client's farewell.
                with anyio.move_on_after(0.2), suppress(ssl.SSLError):
                    await stream.aclose()
            await anyio.aclose_forcefully(stream)
        service.leave.set()
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
