"""What a query costs a server: covet-graphql on the engine beside Strawberry in FastAPI on uvicorn.

    python tests/benchmarks/graphql/bench_graphql.py [--rounds 7] [--simple 400] [--list 40]

Both serve the same books to the same client, which keeps one connection and asks one question after the
other: one book by its id in a variable, and a thousand books with five fields each. Rounds of the servers alternate.
What is counted is the CPU time of the server's process, user and system, per request.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil
from benchmarks.measure import Comparison, interleaved, report

HERE = Path(__file__).parent
SIMPLE = {
    "query": "query($id: Int!) { book(id: $id) { id title price } }",
    "variables": {"id": 7},
}
LIST = {"query": "{ books(first: 1000) { id title price stock isbn } }"}


class Server:
    """A server's process, and one connection to it."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=HERE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )
        self._stream = _connected(self._process, port)
        self._cpu = psutil.Process(self._process.pid)

    def ask(self, question: object) -> bytes:
        """The body of an answer."""
        body = json.dumps(question).encode()
        head = (
            "POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._stream.sendall(head.encode() + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._stream.recv(65536)
        found, _, rest = data.partition(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in found.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        while len(rest) < length:
            rest += self._stream.recv(262144)
        return rest

    def cost(self, question: object, count: int) -> float:
        """Microseconds of CPU per answer."""
        before = self._cpu.cpu_times()
        for _ in range(count):
            self.ask(question)
        after = self._cpu.cpu_times()
        return 1e6 * (after.user - before.user + after.system - before.system) / count

    def stop(self) -> None:
        """End the process."""
        self._stream.close()
        self._process.terminate()
        self._process.wait(30)


def _connected(process: subprocess.Popen[bytes], port: int) -> socket.socket:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"a server ended with {process.returncode}")
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("a server does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Measure, and print what the questions cost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--simple", type=int, default=400, help="requests of a round")
    parser.add_argument("--list", type=int, default=40, help="requests of a round")
    options = parser.parse_args()
    scripts = Path(sys.executable).parent
    ports = _free_port(), _free_port()
    servers = {
        "covet": Server(
            [str(scripts / "covet"), "run", "-c", "covet.toml", "--set", f"plugins.http.port={ports[0]}"],
            ports[0],
        ),
        "strawberry": Server(
            [
                str(scripts / "uvicorn"), "strawberry_books:app", "--host", "127.0.0.1",
                "--port", str(ports[1]), "--no-access-log",
            ],
            ports[1],
        ),
    }  # fmt: skip
    try:
        for title, question, count, goal in (
            ("one book", SIMPLE, options.simple, 1 / 2),
            ("a thousand books", LIST, options.list, 1 / 1.15),
        ):
            answers = {name: json.loads(each.ask(question)) for name, each in servers.items()}
            assert answers["covet"] == answers["strawberry"], "they do not answer alike"
            rivals = {name: partial(each.cost, question, count) for name, each in servers.items()}
            samples = interleaved(rivals, options.rounds)
            comparison = Comparison(title, "covet", "strawberry", goal)
            report(title, samples, [comparison], unit="us of CPU per request")
    finally:
        for each in servers.values():
            each.stop()


if __name__ == "__main__":
    main()
