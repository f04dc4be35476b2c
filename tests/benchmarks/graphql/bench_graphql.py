"""What a query costs a server: covet-graphql on the engine beside Strawberry in FastAPI on uvicorn.

    python tests/benchmarks/graphql/bench_graphql.py [--rounds 7] [--simple 1000] [--list 60]

Both serve the same books to the same client, which keeps one connection and asks one question after the
other: one book, another one each time, by its id in a variable, and a thousand books with five fields
each. Answers are compared. Rounds of the servers alternate. What is counted is the CPU time of the
server's process, user and system, per request.

Strawberry is as fast as its documentation and uvicorn's make it: documents are kept parsed and validated,
answers are written by pydantic_core, uvicorn has httptools, no access log, and runs once on uvloop and
once on asyncio; the faster of these is the peer. What it costs as it comes is told, too. covet has its
defaults, on asyncio.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from statistics import median

import psutil
from benchmarks.measure import Comparison, interleaved, report

HERE = Path(__file__).parent
ONE = "query($id: Int!) { book(id: $id) { id title price } }"
LIST = {"query": "{ books(first: 1000) { id title price stock isbn } }"}
PEERS = {
    "strawberry, uvloop": ("fast", "uvloop"),
    "strawberry, asyncio": ("fast", "asyncio"),
}
AS_IT_COMES = "strawberry as it comes"
VERSIONS = ("strawberry-graphql", "fastapi", "uvicorn", "httptools", "uvloop", "graphql-core")


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
            data += self._receive()
        found, _, rest = data.partition(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in found.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        while len(rest) < length:
            rest += self._receive()
        return rest

    def _receive(self) -> bytes:
        data = self._stream.recv(262144)
        if not data:
            raise RuntimeError("a server has ended the connection")
        return data

    def cost(self, questions: Callable[[], Iterator[object]], requests: int) -> float:
        """Microseconds of CPU per answer."""
        asked = questions()
        before = self._cpu.cpu_times()
        for _ in range(requests):
            self.ask(next(asked))
        after = self._cpu.cpu_times()
        return 1e6 * (after.user - before.user + after.system - before.system) / requests

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


def covet() -> Server:
    """The books on covet."""
    port = _free_port()
    settings = f"plugins.http.port={port}", "plugins.http.keep_alive_timeout=600"
    command = [_script("covet"), "run", "-c", "covet.toml"]
    command += [word for each in settings for word in ("--set", each)]
    return Server(command, port)


def strawberry(name: str, loop: str) -> Server:
    """One of the applications of `strawberry_books`, on uvicorn."""
    port = _free_port()
    command = [
        _script("uvicorn"), f"strawberry_books:{name}", "--host", "127.0.0.1", "--port", str(port),
        "--loop", loop, "--http", "httptools", "--ws", "none", "--no-access-log",
        "--timeout-keep-alive", "600", "--log-level", "warning",
    ]  # fmt: skip
    return Server(command, port)


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def one_book() -> Iterator[object]:
    """One book after the other."""
    for number in count():
        yield {"query": ONE, "variables": {"id": number % 1000}}


def all_books() -> Iterator[object]:
    """All of them, again and again."""
    while True:
        yield LIST


def main() -> None:
    """Measure, and print what the questions cost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--simple", type=int, default=1000, help="requests of a round")
    parser.add_argument("--list", type=int, default=60, help="requests of a round")
    options = parser.parse_args()
    with ExitStack() as stack:
        servers = {"covet": covet()}
        stack.callback(servers["covet"].stop)
        for name, (application, loop) in {**PEERS, AS_IT_COMES: ("plain", "uvloop")}.items():
            servers[name] = strawberry(application, loop)
            stack.callback(servers[name].stop)
        print("versions:", ", ".join(f"{each} {version(each)}" for each in VERSIONS))
        for title, questions, requests, goal in (
            ("one book", one_book, options.simple, 1 / 2),
            ("a thousand books", all_books, options.list, 1 / 1.15),
        ):
            asked = next(questions())
            answers = [json.loads(each.ask(asked)) for each in servers.values()]
            assert "data" in answers[0], answers[0]
            assert all(each == answers[0] for each in answers), "they do not answer alike"
            rivals = {
                name: partial(each.cost, questions, requests) for name, each in servers.items()
            }
            samples = interleaved(rivals, options.rounds)
            peer = min(PEERS, key=lambda name: median(samples[name]))
            header = f"{title}; the peer: {peer}, httptools, caches of documents"
            report(
                header,
                samples,
                [Comparison(title, "covet", peer, goal)],
                unit="us of CPU per request",
            )


if __name__ == "__main__":
    main()
