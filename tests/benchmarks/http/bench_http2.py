"""HTTP/2 on the wire: covet's native engine beside Granian and nginx, loaded by h2load, in one run.

    python tests/benchmarks/http/bench_http2.py [--rounds 5] [--quick] [--idle 10 1000 10000]

Without TLS, by prior knowledge: what TLS costs is the same for all. The answer is one JSON object: of a
`def` handler with covet, of Granian's own interface, and a constant with nginx, which nobody computes.
Counted is the CPU time of all of a server's processes for each answer, while the generator runs on
another core. Then so many connections are opened, each asks once and stays: what they hold of memory
is read. Nothing here asserts a time. It takes h2load (Debian: nghttp2-client).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from generator import Work, WrongAnswerError
from machine import environment
from peers.work import MESSAGE
from servers import Recipe, Server, covet, free_port, granian, nginx
from table import GOALS, Goal, goal_rows, judge, spread, text

LOAD_CORE = 1
HEADER = ["", "CPU us", "quartiles", "answers / CPU s", "answers / s"]
MEMORY = ["", "connections", "MiB", "KiB each"]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
# GET /json of the authority "a", by indices and literals of HPACK (RFC 7541).
REQUEST = b"\x82\x86\x04\x05/json\x41\x01a"
HEADERS = len(REQUEST).to_bytes(3, "big") + b"\x01\x05\0\0\0\x01" + REQUEST
DONE = re.compile(r"finished in ([0-9.]+)(s|ms)")
GOOD = re.compile(r"requests: (\d+) total, .* (\d+) succeeded")


@dataclass
class Sample:
    """One run.

    Attributes:
        cpu: Microseconds of the server's CPU for each answer.
        rate: Answers a second.
    """

    cpu: float
    rate: float


class Bench:
    """All rounds of a run: each starts every server anew and loads one at a time."""

    def __init__(self, given: argparse.Namespace, folder: Path, h2load: str) -> None:
        self.given = given
        self.folder = folder
        self.h2load = h2load
        self.samples: dict[str, dict[int, Sample]] = {}
        self.problems: dict[str, str] = {}
        self.held: list[list[str]] = []

    def recipes(self) -> Iterator[tuple[Recipe, int]]:
        """Each with the port of its HTTP/2, 0: the one it is probed by."""
        yield covet("covet", "engine", settings="\n[plugins.engine]\nhttp2 = true\n"), 0
        yield granian(), 0
        port = free_port()
        # Before its version 1.25 nginx speaks one or the other on a port.
        second = (
            f"server {{ listen 127.0.0.1:{port} http2; location = /json {{"
            """ default_type application/json; return 200 '{"message":"hello"}'; } }"""
        )
        yield nginx(everywhere=second), port

    @contextlib.contextmanager
    def serving(self, recipe: Recipe) -> Iterator[Server]:
        path = "/native" if recipe.name == "nginx" else "/json"
        with Server(recipe, self.folder, Work("probe", path, MESSAGE)) as server:
            yield server

    def rounds(self) -> None:
        for number in range(self.given.rounds):
            for recipe, port in self.recipes():
                if recipe.missing:
                    self.problems[recipe.name] = recipe.missing
                    continue
                with self.serving(recipe) as server:
                    self._load(server, port or server.port, self.given.warm_up)
                    sample = self._load(server, port or server.port, self.given.requests)
                    self.samples.setdefault(recipe.name, {})[number] = sample
            print(f"round {number + 1} of {self.given.rounds}", file=sys.stderr)

    def _load(self, server: Server, port: int, requests: int) -> Sample:
        before = cpu(server.pids)
        said = subprocess.run(
            [
                "taskset", "-c", str(LOAD_CORE), self.h2load, f"-n{requests}",
                f"-c{self.given.connections}", f"-m{self.given.streams}",
                f"http://127.0.0.1:{port}/json",
            ],
            check=True, capture_output=True, text=True, timeout=300,
        ).stdout  # fmt: skip
        spent = cpu(server.pids) - before
        took, counted = DONE.search(said), GOOD.search(said)
        if took is None or counted is None or int(counted[2]) != requests:
            raise WrongAnswerError(f"{server.name}: {said}")
        seconds = float(took[1]) / (1000 if took[2] == "ms" else 1)
        return Sample(spent / requests * 1e6, requests / seconds)

    def memory(self, counts: Sequence[int]) -> None:
        """What connections hold that have asked once."""
        for recipe, port in self.recipes():
            if recipe.missing:
                continue
            for count in counts:
                with self.serving(recipe) as server, contextlib.ExitStack() as stack:
                    empty = server.memory()[1]
                    for _ in range(count):
                        one = socket.create_connection(("127.0.0.1", port or server.port))
                        stack.callback(one.close)
                        one.sendall(PREFACE + HEADERS)
                        answer = b""
                        while b"hello" not in answer:
                            answer += one.recv(4096)
                    grown = server.memory()[1] - empty
                    row = [server.name, f"{count:,}", f"{grown / 1024:.1f}", f"{grown / count:.1f}"]
                    self.held.append(row)

    def rows(self) -> list[list[str]]:
        found = []
        for name, samples in self.samples.items():
            low, middle, high = spread([each.cpu for each in samples.values()])
            rate = spread([each.rate for each in samples.values()])[1]
            spent = [f"{middle:.2f}", f"{low:.2f} - {high:.2f}", f"{1e6 / middle:,.0f}"]
            found.append([name, *spent, f"{rate:,.0f}"])
        return found


def cpu(pids: Sequence[int]) -> float:
    """Seconds of CPU that these processes have taken."""
    spent = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(each.user + each.system for each in spent))


def main(given: argparse.Namespace) -> int:
    h2load = shutil.which("h2load")
    if h2load is None:
        print("h2load is not installed (Debian: nghttp2-client)", file=sys.stderr)
        return 3
    os.sched_setaffinity(0, {LOAD_CORE})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-http2-") as folder:
        bench = Bench(given, Path(folder), h2load)
        bench.rounds()
        bench.memory(given.idle)
    for name, value in environment():
        print(f"{name}: {value}")
    print(
        f"runs: median of {given.rounds}, {given.requests} requests each by {given.connections}"
        f" connections with {given.streams} streams"
    )
    print(f"\n{text(HEADER, bench.rows())}\n\n{text(MEMORY, bench.held)}")
    goal = Goal("JSON over HTTP/2, CPU", "covet", "granian", 0.5)
    print(f"\nGoals\n{text(GOALS, goal_rows([judge(goal, bench.samples)]))}")
    for name, problem in bench.problems.items():
        print(f"\nnot measured: {name}: {problem}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300_000)
    parser.add_argument("--warm-up", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--streams", type=int, default=32, help="at once on each of them")
    parser.add_argument("--idle", type=int, nargs="*", default=[10, 1000, 10_000])
    parser.add_argument("--quick", action="store_true", help="one round, few connections")
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.rounds, parsed.requests, parsed.idle = 1, 50_000, [10, 1000]
    raise SystemExit(main(parsed))
