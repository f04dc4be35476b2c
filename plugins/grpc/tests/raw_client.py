"""A client that sends what it is told to, right or wrong, over HTTP/2 and HTTP/1.1."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from struct import pack
from typing import Any

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
        body: What came between them.
        reset: The code of the reset that ended it, if one did.
    """

    body = b""
    reset: int | None = None


def exchange(
    port: int,
    path: str,
    pieces: Iterable[bytes],
    headers: Lines | None = None,
    *,
    content_type: bytes = b"application/grpc",
    method: bytes = b"POST",
) -> Answered:
    """Send these pieces of a body, each in a frame of its own, and read the whole answer."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    connection.initiate_connection()
    connection.increment_flow_control_window(1 << 24)
    answered = Answered()
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as sock:
        head = [
            (b":method", method), (b":scheme", b"http"), (b":path", path.encode()),
            (b":authority", b"127.0.0.1"), (b"content-type", content_type), (b"te", b"trailers"),
            *(headers or ()),
        ]  # fmt: skip
        connection.send_headers(1, head)
        for piece in pieces:
            connection.send_data(1, piece)
        connection.end_stream(1)
        sock.sendall(connection.data_to_send())
        while True:
            data = sock.recv(65536)
            assert data, "the connection ended without an answer"
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    answered.update(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    answered.body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamReset):
                    answered.reset = int(event.error_code)
                    return answered
                elif isinstance(event, h2.events.StreamEnded):
                    return answered
            sock.sendall(connection.data_to_send())


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
