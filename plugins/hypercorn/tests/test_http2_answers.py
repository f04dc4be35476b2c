"""Streams, events and files of covet-http over HTTP/2: whole, or visibly not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import h2.config
import h2.connection
import h2.events
import pytest

import covet_http as http
from covet_http import HTTP, Http
from covet_hypercorn import Hypercorn
from covet_kernel import Plugin
from covet_kernel.contracts import Operation
from covet_kernel.testing import run_kernel
from covet_operations import Conflict, Operations, operations_of


class Shop(Plugin[None]):
    folder: Path

    @http.get("/file")
    async def file(self) -> http.File:
        return http.File(self.folder / "large.bin")

    @http.get("/broken")
    async def broken(self) -> AsyncIterator[int]:
        yield 1
        raise Conflict("too late")

    @http.get("/refused")
    async def refused(self) -> AsyncIterator[int]:
        raise Conflict("not now")
        yield 1

    @http.get("/quiet", stream="events")
    async def quiet(self) -> AsyncIterator[int]:
        yield 1
        await anyio.sleep_forever()

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)


class Client:
    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.headers: dict[str, str] = {}
        self.body = b""
        self.end = ""

    async def ask(self, path: str, method: str = "GET", **more: str) -> None:
        names = {":method": method, ":scheme": "http", ":authority": "a", ":path": path, **more}
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, list(names.items()), end_stream=True)
        self.headers, self.body, self.end = {}, b"", ""
        await self.stream.send(self.h2.data_to_send())

    async def step(self) -> None:
        try:
            received = await self.stream.receive()
        except anyio.EndOfStream:
            self.end = self.end or "closed"
            return
        for event in self.h2.receive_data(received):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = {key.decode(): value.decode() for key, value in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                self.body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.end = "complete"
            elif isinstance(event, h2.events.StreamReset):
                self.end = "reset"
        if data := self.h2.data_to_send():
            await self.stream.send(data)

    async def until_ended(self) -> str:
        while not self.end:
            await self.step()
        return self.end


@pytest.fixture
def large(tmp_path: Path) -> bytes:
    content = os.urandom(700_000)
    (tmp_path / "large.bin").write_bytes(content)
    os.utime(tmp_path / "large.bin", (784111777, 784111777))
    Shop.folder = tmp_path
    return content


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[int]:
    classes: Any = {"operations": Operations, "hypercorn": Hypercorn, "http": Http, "shop": Shop}
    http_table = {"port": 0, "linger": 0.05, "server": "hypercorn", **more}
    tables = {"http": http_table, "hypercorn": {"http2": True}}
    with anyio.fail_after(20):
        async with run_kernel(classes, tables) as kernel:
            yield int(kernel.require(HTTP).urls[0].rpartition(":")[2])


async def test_a_file(large: bytes) -> None:
    async with serving() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        client = Client(stream)
        await client.ask("/file")
        assert await client.until_ended() == "complete"
        assert client.body == large
        assert client.headers["content-length"] == str(len(large))
        await client.ask("/file", "HEAD")
        assert await client.until_ended() == "complete"
        assert (client.headers["content-length"], client.body) == (str(len(large)), b"")
        await client.ask("/file", range="bytes=100000-399999")
        assert await client.until_ended() == "complete"
        assert (client.headers[":status"], client.body) == ("206", large[100_000:400_000])


async def test_a_file_that_shrinks_is_not_complete(large: bytes) -> None:
    async with serving() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        client = Client(stream)
        await client.ask("/file")
        while not client.body:
            await client.step()
        os.truncate(Shop.folder / "large.bin", 0)
        assert await client.until_ended() == "reset"
        assert len(client.body) < len(large)


async def test_a_stream_that_fails_is_not_complete(large: bytes) -> None:
    async with serving() as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        client = Client(stream)
        await client.ask("/refused")
        assert await client.until_ended() == "complete"
        assert client.headers[":status"] == "409"
        await client.ask("/broken")
        assert await client.until_ended() == "reset"
        assert client.body in (b"", b"1\n")
        # The connection lives on.
        await client.ask("/file")
        assert await client.until_ended() == "complete"


async def test_events_are_kept_alive_and_end_with_the_service(large: bytes) -> None:
    ends: list[str] = []
    client = None

    async def rest() -> None:
        assert client is not None
        ends.append(await client.until_ended())

    async with anyio.create_task_group() as tasks, serving(event_keep_alive=0.05) as port:
        client = Client(await anyio.connect_tcp("127.0.0.1", port))
        await client.ask("/quiet")
        while client.body.count(b":\n\n") < 2:
            await client.step()
        assert client.body.startswith(b"data: 1\n\n:\n\n")
        tasks.start_soon(rest)
    await client.stream.aclose()
    assert ends == ["complete"]
    assert client.body.endswith(b": the service is stopping\n\n")


async def test_the_authority_is_the_host_that_has_to_be_allowed(large: bytes) -> None:
    # bad input 33
    config = {"allowed_hosts": ["a", "*.b"], "cors": {"origins": ["https://app.example"]}}
    async with serving(**config) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        client = Client(stream)
        for authority, status in (("a", "404"), ("x.b:80", "404"), ("evil", "421"), ("b", "421")):
            await client.ask("/none", **{":authority": authority, "origin": "https://app.example"})
            assert await client.until_ended() == "complete"
            assert client.headers[":status"] == status
            assert client.headers["x-content-type-options"] == "nosniff"
            granted = client.headers.get("access-control-allow-origin")
            assert granted == ("https://app.example" if status == "404" else None)
