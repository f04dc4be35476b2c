"""A client that sends what it is told to, right or wrong, over HTTP/2 and HTTP/1.1."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from struct import pack
from typing import Any, Self

import h2.config
import h2.connection
import h2.events

Lines = list[tuple[bytes, bytes]]
TIMEOUT = 30.0


def frame(message: bytes, flag: int = 0) -> bytes:
    """A message with its five bytes before it."""
    return pack(">BI", flag, len(message)) + message


class Answered(dict[bytes, bytes]):
    """Headers and trailers of an answer.

    Attributes:
        lines: All of them as they came.
        body: What came between them.
        reset: The code of the reset that ended it, if one did.
    """

    body = b""
    reset: int | None = None

    def __init__(self) -> None:
        self.lines: Lines = []


class Client:
    """One connection of HTTP/2, with several calls on it.

    Args:
        port: Of the service.

    Attributes:
        answers: What has come, by stream.
    """

    def __init__(self, port: int) -> None:
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ended: set[int] = set()
        self.answers: dict[int, Answered] = {}
        self._h2.initiate_connection()
        # Of all streams together, so that one that is not read holds up no other.
        self._h2.increment_flow_control_window(1 << 24)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._sock.close()

    def call(
        self,
        path: str,
        *pieces: bytes,
        headers: Iterable[tuple[bytes, bytes]] = (),
        content_type: bytes = b"application/grpc",
        method: bytes = b"POST",
    ) -> int:
        """Send a request whose body is these pieces, each in a frame of its own; its stream."""
        stream = self._h2.get_next_available_stream_id()
        head = [
            (b":method", method), (b":scheme", b"http"), (b":path", path.encode()),
            (b":authority", b"127.0.0.1"), (b"content-type", content_type), (b"te", b"trailers"),
            *headers,
        ]  # fmt: skip
        self.answers[stream] = Answered()
        self._h2.send_headers(stream, head)
        for piece in pieces:
            self._h2.send_data(stream, piece)
        self._h2.end_stream(stream)
        self._sock.sendall(self._h2.data_to_send())
        return stream

    def answer(self, stream: int) -> Answered:
        """The whole answer of a stream, of which everything is read."""
        while stream not in self._ended:
            data = self._sock.recv(65536)
            assert data, "the connection ended without an answer"
            for event in self._h2.receive_data(data):
                self._take(event, stream)
            if stream not in self._ended:
                self._sock.sendall(self._h2.data_to_send())
        return self.answers[stream]

    def open_windows(self, times: int) -> None:
        """Open the connection's window by a byte, so many times."""
        for _ in range(times):
            self._h2.increment_flow_control_window(1)
        self._sock.sendall(self._h2.data_to_send())

    def reset(self, stream: int) -> None:
        """Give a stream up."""
        self._h2.reset_stream(stream, 8)
        self._sock.sendall(self._h2.data_to_send())

    def _take(self, event: Any, wanted: int) -> None:
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            self.answers[event.stream_id].update(event.headers)
            self.answers[event.stream_id].lines.extend(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.answers[event.stream_id].body += event.data
            if event.stream_id == wanted:
                # Nobody reads the others, whose windows stay as they are.
                self._h2.acknowledge_received_data(event.flow_controlled_length, wanted)
        elif isinstance(event, h2.events.StreamReset):
            self.answers[event.stream_id].reset = int(event.error_code)
            self._ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._ended.add(event.stream_id)


def exchange(
    port: int, path: str, pieces: Iterable[bytes], headers: Lines | None = None, **more: bytes
) -> Answered:
    """One request on a connection of its own, and its answer. ``more`` is that of `Client.call`."""
    with Client(port) as client:
        return client.answer(client.call(path, *pieces, headers=headers or (), **more))  # type: ignore[arg-type]


def call(
    port: int, path: str, message: Any, headers: Lines | None = None
) -> tuple[Answered, bytes]:
    """A unary call with one message."""
    answered = exchange(port, path, [frame(message.SerializeToString())], headers)
    return answered, answered.body


def post(
    port: int, path: str, body: bytes, headers: dict[str, str], method: str = "POST"
) -> tuple[int, dict[str, str], bytes]:
    """The same over HTTP/1.1: status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()
