"""What HTTP/3 costs the portable server, against HTTP/2 over TLS in the same process.

python tests/benchmarks/http/bench_http3.py [--rounds N]

A server in a process of its own answers one connection by each protocol in turn: requests without a
body, 20 at a time, and a body of 4 MB up and down. Only the CPU time of the server's process counts, so
that clients, which are Python too, may be as slow as they are. It takes `pip install 'covet-hypercorn[http3]'
h2 psutil trustme`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import ssl
import statistics
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import h2.config
import h2.connection
import h2.events
import psutil
import trustme
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted

from covet_http import ServerOptions, TlsConfig
from covet_hypercorn import HypercornConfig, HypercornServer

AT_ONCE, TIMES, LONG = 20, 50, 4_000_000
BODY = bytes(LONG)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Takes the body; answers two bytes, or many."""
    more = True
    while more:
        more = (await receive())["more_body"]
    body = BODY if scope["path"] == "/long" else b"ok"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(tls: dict[str, str], report: Connection) -> None:
    """The server's process."""

    async def run() -> None:
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        bound.setblocking(False)
        port = bound.getsockname()[1]
        server = HypercornServer(HypercornConfig(http2=True, http3=True))
        options = ServerOptions(tls=TlsConfig.model_validate(tls))
        async with server.listen([bound], options) as listener:
            listener.begin(application)
            report.send(port)
            await anyio.sleep_forever()

    anyio.run(run)


class Http2:
    """One connection by HTTP/2."""

    def __init__(self, port: int, trusted: bytes) -> None:
        context = ssl.create_default_context(cadata=trusted.decode())
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port))
        self._socket = context.wrap_socket(plain, server_hostname="localhost")
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(1 << 24)

    def ask(self, times: int, path: str = "/", body: bytes = b"") -> None:
        """Ask so many times at once, and read the answers."""
        left = {}
        for _ in range(times):
            stream = self._h2.get_next_available_stream_id()
            fields = [(":method", "POST" if body else "GET"), (":scheme", "https")]
            fields += [(":authority", "localhost"), (":path", path)]
            self._h2.send_headers(stream, fields, end_stream=not body)
            left[stream] = memoryview(body)
        open_ones = set(left)
        while open_ones:
            for stream, whole in tuple(left.items()):
                left[stream] = self._send(stream, whole)
            self._socket.sendall(self._h2.data_to_send())
            for event in self._h2.receive_data(self._socket.recv(65_536)):
                if isinstance(event, h2.events.DataReceived):
                    size = event.flow_controlled_length or 0
                    self._h2.acknowledge_received_data(size, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    open_ones.discard(event.stream_id)

    def _send(self, stream: int, rest: memoryview) -> memoryview:
        """Send what the windows have room for; what is left."""
        while rest and (room := self._h2.local_flow_control_window(stream)) > 0:
            size = min(room, 16_384)
            piece, rest = rest[:size], rest[size:]
            self._h2.send_data(stream, bytes(piece), end_stream=not rest)
        return rest

    def close(self) -> None:
        self._socket.close()


class Http3:
    """One connection by HTTP/3."""

    def __init__(self, port: int, trusted: bytes) -> None:
        configuration = QuicConfiguration(
            alpn_protocols=["h3"], server_name="localhost", cadata=trusted
        )
        self._address = ("127.0.0.1", port)
        self._quic = QuicConnection(configuration=configuration)
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.connect(self._address)
        self._open: set[int] = set()
        self._ready = False
        self._quic.connect(self._address, monotonic())
        self._until(lambda: self._ready)
        self._h3 = H3Connection(self._quic)

    def ask(self, times: int, path: str = "/", body: bytes = b"") -> None:
        """Ask so many times at once, and read the answers."""
        for _ in range(times):
            stream = self._quic.get_next_available_stream_id()
            self._open.add(stream)
            fields = [(b":method", b"POST" if body else b"GET"), (b":scheme", b"https")]
            fields += [(b":authority", b"localhost"), (b":path", path.encode())]
            self._h3.send_headers(stream, fields, end_stream=not body)
            if body:
                self._h3.send_data(stream, body, end_stream=True)
        self._until(lambda: not self._open)

    def _until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            for data, _ in self._quic.datagrams_to_send(monotonic()):
                self._socket.send(data)
            at = self._quic.get_timer() or monotonic()
            self._socket.settimeout(max(0.001, at - monotonic()))
            try:
                self._quic.receive_datagram(self._socket.recv(65_536), self._address, monotonic())
            except TimeoutError:
                self._quic.handle_timer(monotonic())
            while (event := self._quic.next_event()) is not None:
                if isinstance(event, HandshakeCompleted):
                    self._ready = True
                    continue
                if not self._ready or not hasattr(self, "_h3"):
                    continue
                for each in self._h3.handle_event(event):
                    if isinstance(each, HeadersReceived | DataReceived) and each.stream_ended:
                        self._open.discard(each.stream_id)

    def close(self) -> None:
        self._quic.close()
        for data, _ in self._quic.datagrams_to_send(monotonic()):
            self._socket.send(data)
        self._socket.close()


def measure(process: psutil.Process, client: Any) -> dict[str, float]:
    """CPU seconds of the server's process, by what it was asked for."""

    def cost(act: Callable[[], None]) -> float:
        before = process.cpu_times()
        act()
        after = process.cpu_times()
        return float(after.user + after.system - before.user - before.system)

    def many() -> None:
        for _ in range(TIMES):
            client.ask(AT_ONCE)

    client.ask(AT_ONCE)
    return {
        "requests": cost(many) / (TIMES * AT_ONCE) * 1e6,
        "down": cost(lambda: client.ask(1, "/long")) / LONG * 1e9,
        "up": cost(lambda: client.ask(1, "/", BODY)) / LONG * 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    trusted = authority.cert_pem.bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "server.pem")
        path.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        context = multiprocessing.get_context("spawn")
        server = context.Process(target=serve, args=({"certificate": str(path)}, theirs))
        server.start()
        try:
            port = ours.recv()
            process = psutil.Process(server.pid)
            found: dict[str, dict[str, list[float]]] = {"HTTP/2": {}, "HTTP/3": {}}
            for _ in range(rounds):
                for name, make in (("HTTP/2", Http2), ("HTTP/3", Http3)):
                    client = make(port, trusted)
                    for what, cost in measure(process, client).items():
                        found[name].setdefault(what, []).append(cost)
                    client.close()
        finally:
            server.terminate()
            server.join()
    units = {"requests": "us a request", "down": "ms a MB sent", "up": "ms a MB taken"}
    for what, unit in units.items():
        two, three = (statistics.median(found[name][what]) for name in ("HTTP/2", "HTTP/3"))
        sys.stdout.write(
            f"{what:10} HTTP/2 {two:8.1f}  HTTP/3 {three:8.1f} {unit}, {three / two:.1f} times\n"
        )


if __name__ == "__main__":
    main()
