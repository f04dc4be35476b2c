"""An HTTP/2 client for tests: one that keeps the rules, and one that sends whatever it is given."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import h2.config
import h2.connection
import h2.events
import hpack

from covet_http import Application

CALM, NO_ERROR, PROTOCOL, REFUSED = 11, 0, 1, 7
PSEUDO = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BLOCK = bytes.fromhex("838684410161")  # POST http / with the authority "a"


def frame(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """Any frame, also one that no library would send."""
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack("!I", stream) + payload
    )


class Client:
    """One connection. What comes is kept until it is asked for.

    Attributes:
        fields: Of each answer, by stream.
        reset: Codes by stream.
        interim: Statuses before the final one, by stream.
        goaway: The code of the last one.
    """

    def __init__(self, stream: Any, *, reads: bool = True) -> None:
        self.stream = stream
        config = h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.reads = reads
        self.body: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.status: dict[int, int] = {}
        self.trailers: dict[int, list[tuple[bytes, bytes]]] = {}
        self.fields: dict[int, list[tuple[bytes, bytes]]] = {}
        self.reset: dict[int, int] = {}
        self.interim: dict[int, int] = {}
        self.goaway: int | None = None
        self.closed = False

    async def request(
        self,
        path: str = "/",
        method: str = "GET",
        *,
        body: bytes | None = b"",
        more: Any = (),
        authority: str = "a",
    ) -> int:
        """Send a request; its body is to follow if it is ``None``."""
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", method), (":scheme", "http"), (":authority", authority), (":path", path),
        ]  # fmt: skip
        self.h2.send_headers(stream, [*headers, *more], end_stream=body == b"")
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        await self.flush()
        return stream

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            await self.stream.send(data)

    async def step(self) -> None:
        try:
            data = await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.closed = True
            return
        for event in self.h2.receive_data(data):
            self.take(event)
        await self.flush()

    def take(self, event: Any) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.fields[event.stream_id] = list(event.headers)
            self.status[event.stream_id] = int(dict(event.headers)[b":status"])
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self.interim[event.stream_id] = int(dict(event.headers)[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            self.body[event.stream_id] = self.body.get(event.stream_id, b"") + event.data
            if self.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers[event.stream_id] = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.reset[event.stream_id] = int(event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)

    async def until_over(self, *streams: int) -> None:
        """Until these have ended or been reset."""
        while not all(each in self.ended or each in self.reset for each in streams):
            assert not self.closed, f"closed with {self.goaway}"
            await self.step()

    async def until_closed(self) -> None:
        while not self.closed:
            await self.step()

    async def ask(self, path: str = "/", method: str = "GET", **more: Any) -> tuple[int, bytes]:
        stream = await self.request(path, method, **more)
        await self.until_over(stream)
        return self.status[stream], self.body.get(stream, b"")


class Raw:
    """A connection on which frames are sent as they are, and those that come are looked at.

    Attributes:
        frames: Kind, flags and stream of each.
        reset: Codes by stream.
        status: By stream.
        fields: Of the last head of each stream.
        goaways: The last stream and the code of each.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.reset: dict[int, int] = {}
        self.status: dict[int, int] = {}
        self.frames: list[tuple[int, int, int]] = []
        self.fields: dict[int, list[tuple[str, str]]] = {}
        self.goaways: list[tuple[int, int]] = []
        self.closed = False
        self._data = b""
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()

    def block(self, fields: Iterable[tuple[str, str]]) -> bytes:
        return bytes(self._encoder.encode(list(fields)))

    async def send(self, *frames: bytes) -> None:
        await self.stream.send(b"".join(frames))

    async def send_if_open(self, *frames: bytes) -> None:
        """The same, to a server that may have closed."""
        try:
            await self.send(*frames)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.closed = True

    async def step(self) -> None:
        try:
            self._data += await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.closed = True
        while len(self._data) >= 9 + (size := int.from_bytes(self._data[:3], "big")):
            kind, flags = self._data[3], self._data[4]
            stream = int.from_bytes(self._data[5:9], "big")
            payload, self._data = self._data[9 : 9 + size], self._data[9 + size :]
            self.frames.append((kind, flags, stream))
            if kind == 1:
                self.fields[stream] = list(self._decoder.decode(payload))
                self.status[stream] = int(self.fields[stream][0][1])
            elif kind == 3:
                self.reset[stream] = int.from_bytes(payload, "big")
            elif kind == 7:
                last, code = struct.unpack("!II", payload[:8])
                self.goaways.append((last, code))

    @property
    def goaway(self) -> int | None:
        """The code of the last one."""
        return self.goaways[-1][1] if self.goaways else None

    async def until_over(self, stream: int) -> None:
        while not (stream in self.reset or stream in self.status or self.closed):
            await self.step()

    async def until_closed(self) -> None:
        while not self.closed:
            await self.step()


@asynccontextmanager
async def raw(listener: Any) -> AsyncIterator[Raw]:
    with anyio.fail_after(30):
        async with listener.connect() as stream:
            client = Raw(stream)
            await client.send(PREFACE, frame(4, 0))
            yield client


@asynccontextmanager
async def connected(listener: Any, **more: Any) -> AsyncIterator[Client]:
    with anyio.fail_after(30):
        async with listener.connect() as stream:
            client = Client(stream, **more)
            await client.flush()
            yield client


async def body_of(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body
        body += message["body"]
        if not message["more_body"]:
            return body


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was asked."""
    body = await body_of(receive)
    fields = b"|".join(b"%b=%b" % each for each in scope["headers"])
    start = f"{scope['http_version']} {scope['method']} {scope['raw_path'].decode()} ".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": start + fields + b" " + body})


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers 200 ``ok`` without reading the body."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def held(
    then: Application = hello,
) -> tuple[Callable[[Any, Any, Any], Any], anyio.Event, anyio.Event]:
    """An application that waits to be released, and the events of its start and release."""
    started, release = anyio.Event(), anyio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        await release.wait()
        await then(scope, receive, send)

    return application, started, release


def slow_echo(release: anyio.Event) -> Application:
    """`echo`, which waits to be released where ``/slow`` is asked for."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await release.wait()
        await echo(scope, receive, send)

    return application


class Calls:
    """Counts the calls of an application."""

    def __init__(self) -> None:
        self.running = self.most = self.all = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.all += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield
        finally:
            self.running -= 1
