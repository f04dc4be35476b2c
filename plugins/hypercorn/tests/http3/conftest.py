"""A listener that speaks HTTP/3, and a client: aioquic's state machines over a socket that may misbehave."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.abc
import pytest
import trustme
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.tls import Epoch

from covet_http import TlsConfig

PATIENCE = 60.0
"""Seconds after which a test hangs."""
Headers = Sequence[tuple[bytes, bytes]]


class Wire:
    """What happens to datagrams on their way, in both directions; nothing unless it is told.

    Args:
        seed: Of the dice.
        lost: Which part of them never arrives.
        doubled: Which part arrives twice.
        late: Which part arrives behind the one that follows.
    """

    def __init__(
        self, seed: int = 0, *, lost: float = 0.0, doubled: float = 0.0, late: float = 0.0
    ) -> None:
        self._dice = random.Random(seed)
        self._odds = (lost, doubled, late)
        self._held: dict[str, Any] = {}
        self.counted = {"lost": 0, "doubled": 0, "late": 0}

    def carry(self, way: str, datagram: Any) -> Iterable[Any]:
        """What arrives when this is sent."""
        lost, doubled, late = (self._dice.random() < odds for odds in self._odds)
        for name, happened in (("lost", lost), ("doubled", doubled), ("late", late)):
            self.counted[name] += happened
        if lost:
            return
        if late and way not in self._held:
            self._held[way] = datagram
            return
        yield datagram
        if doubled:
            yield datagram
        if way in self._held:
            yield self._held.pop(way)


class PatientQuic(QuicConnection):
    """The client's side; it lets the server send no more unless it reads."""

    reads = True

    def _write_stream_limits(self, *args: Any, **more: Any) -> None:
        if self.reads:
            super()._write_stream_limits(*args, **more)

    def _write_connection_limits(self, *args: Any, **more: Any) -> None:
        if self.reads:
            super()._write_connection_limits(*args, **more)


class H3Client(H3Connection):
    """aioquic's, which does not know that the answer to HEAD has no body."""

    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic)
        self.bodiless: set[int] = set()

    def _check_content_length(self, stream: Any) -> None:
        if stream.stream_id not in self.bodiless:
            super()._check_content_length(stream)


class Client:
    """One connection. What comes is kept until it is asked for.

    Attributes:
        body: By stream.
        closed: The code the connection has ended with.
        ended: Streams whose answers are whole.
        goaway: The IDs that were named, one after the other.
        headers: Of answers, by stream.
        reset: Codes by stream.
        stopped: Codes of streams of which the server reads no more.
        trailers: By stream.
    """

    def __init__(
        self, port: int, configuration: QuicConfiguration, host: str, wire: Wire | None
    ) -> None:
        self.quic = PatientQuic(configuration=configuration)
        self.h3: H3Client | None = None
        self.says_nothing = False
        self.wire = wire or Wire()
        self.address: Any = (host, port)
        self.socket = self.open_socket()
        self.opened = False
        self.body: dict[int, bytearray] = {}
        self.headers: dict[int, dict[bytes, bytes]] = {}
        self.trailers: dict[int, Headers] = {}
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.stopped: dict[int, int] = {}
        self.closed: int | None = None
        self.goaway: list[int] = []
        self.received = 0
        self.silent = False
        self._control = b""
        self._changed = anyio.Event()

    def open_socket(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        opened.connect(self.address)
        return opened

    # The wire.

    async def run(self) -> None:
        """Send, receive and keep the time until the connection ends."""
        self.quic.connect(self.address, monotonic())
        while self.closed is None:
            self.flush()
            at = self.quic.get_timer()
            with anyio.move_on_after(min(0.02, max(0.001, (at or 0.0) - monotonic()))):
                await anyio.wait_readable(self.socket)
            now = monotonic()
            while (data := self._receive()) is not None:
                for each in self.wire.carry("in", data):
                    self.quic.receive_datagram(each, self.address, now)
            if at is not None and now >= at:
                self.quic.handle_timer(now)
            self._take()
            if self.quic._close_event is not None and self.closed is None:
                self.flush()
                self.closed = self.quic._close_event.error_code
            self._changed.set()
            self._changed = anyio.Event()

    def flush(self) -> None:
        for data, _ in self.quic.datagrams_to_send(monotonic()):
            for each in self.wire.carry("out", data):
                if not self.silent:
                    self.send_datagram(each)

    def send_datagram(self, data: bytes) -> None:
        with suppress(BlockingIOError, ConnectionError):
            self.socket.send(data)

    def inject(self, *frames: bytes) -> None:
        """A packet with these frames of QUIC, which nobody checks and nobody sends again."""
        quic = self.quic
        builder = QuicPacketBuilder(
            host_cid=quic.host_cid,
            is_client=True,
            max_datagram_size=1200,
            packet_number=quic._packet_number,
            peer_cid=quic._peer_cid.cid,
            version=quic._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, quic._cryptos[Epoch.ONE_RTT])
        for each in frames:
            builder.start_frame(each[0], capacity=len(each)).push_bytes(each[1:])
        datagrams, _ = builder.flush()
        quic._packet_number = builder.packet_number
        for data in datagrams:
            self.send_datagram(data)

    def _receive(self) -> bytes | None:
        while True:
            try:
                data = self.socket.recv(65535)
            except ConnectionError:
                continue
            except BlockingIOError:
                return None
            self.received += len(data)
            return data

    def _take(self) -> None:
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self.opened = True
                if not self.says_nothing:
                    self.h3 = H3Client(self.quic)
            elif isinstance(event, StreamReset):
                self.reset[event.stream_id] = event.error_code
            elif isinstance(event, StopSendingReceived):
                self.stopped[event.stream_id] = event.error_code
            elif isinstance(event, ConnectionTerminated):
                self.closed = event.error_code
            elif isinstance(event, StreamDataReceived) and event.stream_id == 3:
                self._control += event.data
                self._read_control()
            if self.h3 is not None:
                for each in self.h3.handle_event(event):
                    self._take_http(each)

    def _take_http(self, event: Any) -> None:
        stream = event.stream_id
        if isinstance(event, HeadersReceived):
            if stream in self.headers:
                self.trailers[stream] = event.headers
            else:
                self.headers[stream] = dict(event.headers)
        elif isinstance(event, DataReceived):
            self.body.setdefault(stream, bytearray()).extend(event.data)
        if event.stream_ended:
            self.ended.add(stream)

    def _read_control(self) -> None:
        """See the GOAWAYs, of which aioquic says nothing."""
        self.goaway = [
            int.from_bytes(payload, "big") & ((1 << (8 * len(payload) - 2)) - 1)
            for kind, payload in frames_of(self._control[1:])
            if kind == 7
        ]

    # What tests say.

    async def until(self, happened: Callable[[], Any]) -> None:
        """Until something is the case."""
        while not happened():
            with anyio.move_on_after(0.02):
                await self._changed.wait()

    def wake(self) -> None:
        """Something is to be sent."""
        self.flush()

    def read(self, reads: bool = True) -> None:
        """Let the server send more, or no more."""
        self.quic.reads = reads
        self.wake()

    def next_id(self) -> int:
        return self.quic.get_next_available_stream_id()

    def request(
        self,
        path: str = "/",
        method: str = "GET",
        *,
        body: bytes | None = b"",
        more: Iterable[tuple[str, str]] = (),
    ) -> int:
        """Send a request; its body is to follow if it is ``None``."""
        assert self.h3 is not None
        stream = self.next_id()
        if method == "HEAD":
            self.h3.bodiless.add(stream)
        fields = [(":method", method), (":scheme", "https"), (":authority", "a"), (":path", path)]
        self.h3.send_headers(
            stream,
            [(name.encode(), value.encode("latin-1")) for name, value in (*fields, *more)],
            end_stream=body == b"",
        )
        if body:
            self.h3.send_data(stream, body, end_stream=True)
        self.wake()
        return stream

    def data(self, stream: int, body: bytes, *, end: bool = False) -> None:
        assert self.h3 is not None
        self.h3.send_data(stream, body, end)
        self.wake()

    def raw(self, data: bytes, *, end: bool = True, stream: int | None = None) -> int:
        """Bytes on a stream as they are."""
        stream = self.next_id() if stream is None else stream
        self.quic.send_stream_data(stream, data, end)
        self.wake()
        return stream

    def over(self, *streams: int) -> bool:
        return all(each in self.ended or each in self.reset for each in streams)

    async def until_over(self, *streams: int) -> None:
        """Until these have ended or been reset."""
        await self.until_over_or_closed(*streams)
        assert self.over(*streams), f"closed with {self.closed}"

    async def until_over_or_closed(self, *streams: int) -> None:
        """Until these have ended or been reset, or the connection has."""
        await self.until(lambda: self.over(*streams) or self.closed is not None)

    async def until_closed(self) -> int:
        await self.until(lambda: self.closed is not None)
        assert self.closed is not None
        return self.closed

    def status(self, stream: int) -> int:
        return int(self.headers[stream][b":status"])

    async def ask(self, path: str = "/", method: str = "GET", **more: Any) -> tuple[int, bytes]:
        stream = self.request(path, method, **more)
        await self.until_over(stream)
        assert stream not in self.reset, f"reset with {self.reset[stream]}"
        return self.status(stream), bytes(self.body.get(stream, b""))


def varint(value: int) -> bytes:
    """A number in eight bytes, which is allowed for each."""
    return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")


def frame(kind: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """Any frame, also one that no library would send."""
    return varint(kind) + varint(len(payload) if length is None else length) + payload


def frames_of(data: bytes) -> Iterable[tuple[int, bytes]]:
    """Whole frames."""

    def number() -> int:
        nonlocal data
        size = 1 << (data[0] >> 6)
        value = int.from_bytes(data[:size], "big") & ((1 << (8 * size - 2)) - 1)
        data = data[size:]
        return value

    while data:
        kind, length = number(), number()
        if len(data) < length:
            return
        yield kind, data[:length]
        data = data[length:]


class Files:
    """Who signs, and the server's certificate, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("localhost")
        certificate, key = folder / "server.pem", folder / "server.key"
        certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        self.both = folder / "both.pem"
        self.both.write_bytes(certificate.read_bytes() + key.read_bytes())
        self.tls = {"certificate": str(certificate), "key": str(key)}
        self.trusted = self.authority.cert_pem.bytes()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def http3(server: SimpleNamespace, files: Files) -> SimpleNamespace:
    """A listener, and clients of it."""

    def listening(
        application: Any = None,
        *,
        config: dict[str, Any] | None = None,
        tls: dict[str, Any] | None = None,
        **options: Any,
    ) -> AbstractAsyncContextManager[Any]:
        made: AbstractAsyncContextManager[Any] = server.listening(
            application,
            config={"http3": True, **(config or {})},
            tls=TlsConfig(**(tls or files.tls)),
            **options,
        )
        return made

    @asynccontextmanager
    async def connected(
        port: int,
        *,
        host: str = "127.0.0.1",
        wire: Wire | None = None,
        opens: bool = True,
        says_nothing: bool = False,
        **more: Any,
    ) -> AsyncIterator[Client]:
        given = {"server_name": "localhost", "cadata": files.trusted, **more}
        configuration = QuicConfiguration(alpn_protocols=["h3"], **given)
        client = Client(port, configuration, host, wire)
        client.says_nothing = says_nothing
        try:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.run)
                    if opens:
                        await client.until(lambda: client.opened)
                    yield client
                    tasks.cancel_scope.cancel()
            if client.closed is None:
                client.quic.close()
                client.flush()
        finally:
            client.socket.close()

    return SimpleNamespace(
        listening=listening,
        connected=connected,
        frame=frame,
        varint=varint,
        wire=Wire,
        hello=server.hello,
        held=server.held,
        files=files,
    )
