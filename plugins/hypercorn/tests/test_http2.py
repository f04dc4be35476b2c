"""HTTP/2: what used to end the whole server, or a connection that did nothing wrong."""

from __future__ import annotations

import json
import logging
from typing import Any

import anyio
import h2.config
import h2.connection
import h2.events
import pytest

from covet_http import StreamAbortedError


def priority_frame(stream: int) -> bytes:
    return b"\x00\x00\x05\x02\x00" + stream.to_bytes(4, "big") + b"\x00\x00\x00\x00\x10"


class H2Client:
    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.ended: set[int] = set()
        self.status: dict[int, bytes] = {}
        self.reset: set[int] = set()
        self.terminated = False

    async def request(self, path: str = "/") -> int:
        stream_id = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path),
            ("te", "trailers"),
        ]  # fmt: skip
        self.h2.send_headers(stream_id, headers, end_stream=True)
        await self.flush()
        return stream_id

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            await self.stream.send(data)

    async def step(self) -> None:
        for event in self.h2.receive_data(await self.stream.receive()):
            if isinstance(event, h2.events.ResponseReceived):
                self.status[event.stream_id] = dict(event.headers)[b":status"]
            elif isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset.add(event.stream_id)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.terminated = True
        await self.flush()

    async def until_ended(self, stream_id: int) -> None:
        while stream_id not in self.ended:
            await self.step()


async def test_answers_over_http2(server: Any) -> None:
    async with server.listening(server.hello, config={"http2": True}) as (_, port):
        async with server.connected(port) as connection:
            client = H2Client(connection.stream)
            for _ in range(3):
                stream_id = await client.request()
                await client.until_ended(stream_id)
                assert client.status[stream_id] == b"200"


async def test_priority_frames_are_ignored(server: Any) -> None:
    # bad input 31: more idle streams than a priority tree holds, from a client that then asks
    async with server.listening(server.hello, config={"http2": True}) as (_, port):
        async with server.connected(port) as connection:
            client = H2Client(connection.stream)
            await client.flush()
            for first in range(0, 3000, 100):
                frames = b"".join(priority_frame(2 * n + 1001) for n in range(first, first + 100))
                await client.stream.send(frames)
            stream_id = await client.request()
            await client.until_ended(stream_id)
            assert client.status[stream_id] == b"200"


async def test_data_for_an_answered_stream_harms_nobody(server: Any) -> None:
    application, started, release = server.held()

    async def by_path(scope: Any, receive: Any, send: Any) -> None:
        await (application if scope["path"] == "/held" else server.hello)(scope, receive, send)

    async with server.listening(by_path, config={"http2": True}) as (_, port):
        async with server.connected(port) as connection:
            client = H2Client(connection.stream)
            neighbour = await client.request("/held")
            await started.wait()
            upload = client.h2.get_next_available_stream_id()
            headers = [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/"),
            ]
            client.h2.send_headers(upload, headers)
            await client.flush()
            await client.until_ended(upload)
            for _ in range(3):
                client.h2.send_data(upload, b"late")
                await client.flush()
            release.set()
            await client.until_ended(neighbour)
            assert client.status == {upload: b"200", neighbour: b"200"}


async def test_streams_that_end_in_trailers_are_released(server: Any) -> None:
    async def with_trailers(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"item"})
        await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})

    async with server.listening(with_trailers, config={"http2": True}) as (_, port):
        async with server.connected(port) as connection:
            client = H2Client(connection.stream)
            with anyio.fail_after(60):
                for _ in range(1100):
                    await client.until_ended(await client.request())
            assert len(client.ended) == 1100
            assert not client.terminated


async def test_stop_says_goaway_and_answers(server: Any) -> None:
    application, started, release = server.held()
    async with server.listening(application, config={"http2": True}) as (listener, port):
        async with server.connected(port) as connection:
            client = H2Client(connection.stream)
            stream_id = await client.request()
            await client.flush()
            await started.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.stop)
                while not client.terminated:
                    data = await client.stream.receive()
                    client.terminated = b"\x00\x00\x08\x07" in data
                release.set()
                answered = b""
                try:
                    while True:
                        answered += await client.stream.receive()
                except anyio.EndOfStream:
                    pass
            assert b"ok" in answered
            assert stream_id == 1


async def test_the_access_log_says_what_ended_an_answer(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="covet.http.access")
    begun = anyio.Event()

    async def by_path(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await server.hello(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if scope["path"] == "/late":
            raise StreamAbortedError("its time is over", 504)
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    async with server.listening(by_path, config={"http2": True, "access_log": True}) as (_, port):
        async with server.connected(port) as connection:
            client = H2Client(connection.stream)
            await client.until_ended(await client.request("/"))
            late = await client.request("/late")
            while late not in client.reset:
                await client.step()
            left = await client.request("/left")
            with anyio.fail_after(10):
                await begun.wait()
            client.h2.reset_stream(left)
            await client.flush()
            with anyio.fail_after(10):
                while len(caplog.records) < 3:
                    await anyio.sleep(0.01)
    lines = [json.loads(each.getMessage()) for each in caplog.records]
    seen = [(each["target"], each["http"], each["status"], each["bytes"]) for each in lines]
    assert seen == [("/", "2", 200, 2), ("/late", "2", 504, 5), ("/left", "2", 499, 5)]
