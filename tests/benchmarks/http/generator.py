"""The C programs of the benchmark: the load generator `load.c` and the floor `floor.c`."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SERVER_CORE, LOAD_CORE = 0, 1
WARNINGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")


FIELDS = (
    "Host: localhost:8000",
    "User-Agent: bench/1.0",
    "Accept: */*",
    "Accept-Encoding: gzip, deflate",
    "Connection: keep-alive",
)
"""What the client says in every request, unless its work says otherwise."""


@dataclass(frozen=True)
class Work:
    """One request, and what its answer says.

    Attributes:
        answer: The body as JSON, to be compared as data: servers differ in spaces.
        handshake: What makes each connection a WebSocket; the request is a frame then.
    """

    name: str
    path: str
    answer: Any
    body: bytes = b""
    fields: tuple[str, ...] = FIELDS
    handshake: bytes = b""

    @property
    def request(self) -> bytes:
        method = "POST" if self.body else "GET"
        lines = [f"{method} {self.path} HTTP/1.1", *self.fields]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Sample:
    """What one run of the generator saw. Times in microseconds."""

    cpu: float
    """CPU of the server's processes per request."""
    rate: float
    """Requests per second on the wire."""
    p50: float
    p99: float
    most: float
    busy: float
    """How much of the server's core it used, 0 to 1."""
    steady: float
    """How much of its core the generator, which spins, was given, 0 to 1."""
    answer_size: int

    @property
    def per_cpu(self) -> float:
        """Requests per second of the server's CPU."""
        return 1e6 / self.cpu


class WrongAnswerError(Exception):
    """A server does not do the work it is given."""


class Generator:
    """The compiled programs, in a folder that outlives them.

    Raises:
        RuntimeError: There is no C compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise RuntimeError("the benchmark needs gcc for its load generator")
        self.folder = folder
        for name in ("load", "floor"):
            source, binary = HERE / f"{name}.c", folder / name
            subprocess.run([compiler, *WARNINGS, str(source), "-o", str(binary)], check=True)

    def run(
        self,
        work: Work,
        body: bytes,
        port: int,
        pids: Sequence[int],
        *,
        connections: int,
        depth: int,
        seconds: float,
        warm_up: float,
        status: int = 200,
    ) -> Sample:
        """Load one server.

        Raises:
            WrongAnswerError: An answer is not what the first one was, or none comes.
        """
        options: dict[str, object] = {
            "connections": connections,
            "depth": depth,
            "seconds": seconds,
            "warm-up": warm_up,
            "status": status,
        }
        command = self._command(work, body, port, options)
        for pid in pids:
            command += ["--pid", str(pid)]
        limit = warm_up + seconds + 30
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit, check=False
        )
        if done.returncode:
            raise WrongAnswerError(done.stderr.strip())
        found = json.loads(done.stdout)
        return Sample(
            cpu=found["server_cpu"] / found["answers"] * 1e6,
            rate=found["answers"] / found["seconds"],
            p50=found["p50"],
            p99=found["p99"],
            most=found["max"],
            busy=found["server_cpu"] / found["seconds"],
            steady=found["own_cpu"] / found["seconds"],
            answer_size=found["answer_size"],
        )

    @contextmanager
    def hold(self, work: Work, body: bytes, port: int, connections: int) -> Iterator[None]:
        """Have so many connections that made one request and are idle now.

        Raises:
            WrongAnswerError: The server did not answer on one, or closed one meanwhile.
        """
        command = [*self._command(work, body, port, {"connections": connections}), "--hold"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stderr is not None
            try:
                if not process.stdout.readline():
                    raise WrongAnswerError(process.stderr.read().strip())
                yield
                process.stdin.close()
                kept = json.loads(process.stdout.readline())["kept"]
                if kept != connections:
                    raise WrongAnswerError(f"{connections - kept} idle connections were closed")
            finally:
                process.kill()

    def _command(
        self, work: Work, body: bytes, port: int, options: Mapping[str, object]
    ) -> list[str]:
        request, answer = self.folder / f"{work.name}.request", self.folder / "body"
        request.write_bytes(work.request)
        answer.write_bytes(body)
        command = [str(self.folder / "load"), "--core", str(LOAD_CORE), "--port", str(port)]
        command += ["--request", str(request), "--body", str(answer)]
        if work.handshake:
            handshake = self.folder / f"{work.name}.handshake"
            handshake.write_bytes(work.handshake)
            command += ["--handshake", str(handshake)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        return command


def ask(work: Work, port: int) -> tuple[bytes, bytes]:
    """`fetch`, and compare.

    Raises:
        WrongAnswerError: The answer is not the work's.
        OSError: The server is not there.
    """
    head, body = fetch(work, port)
    if not head.startswith(b"HTTP/1.1 200") or json.loads(body) != work.answer:
        raise WrongAnswerError(f"{work.name}: {(head + body)[:500]!r}")
    return head, body


def fetch(work: Work, port: int) -> tuple[bytes, bytes]:
    """One request on a connection of its own.

    Returns:
        The head of the answer with its empty line, and its body.

    Raises:
        OSError: The server is not there.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(work.request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += _some(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line
        )
        size = int(fields.get(b"content-length", b"-1"))
        while len(body) < size:
            body += _some(connection)
    return head + b"\r\n\r\n", body


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise ConnectionResetError("closed before the answer was whole")
    return received
