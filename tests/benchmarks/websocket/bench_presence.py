"""Many join one room at once, and each is told who is there.

    python tests/benchmarks/websocket/bench_presence.py [--rounds 5] [--joins 100 1000 10000]

Counted is the CPU time of the server's process from the first handshake until it has nothing more to say, and the bytes
that it has sent, for each member. covet has its default configuration but for limits that are smaller than the largest
crowd, and for pings, which these clients do not answer. Nothing here asserts a time; see the README beside this file.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import socket
import statistics
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from entries import LOAD_CORE, PROBE, Server, covet, cpu, handshake
from machine import environment
from table import text

# Longer than changes are gathered.
QUIET: Final = 1.5
PATIENCE: Final = 240.0
AT_ONCE: Final = 128
LIMITS: Final = """
[plugins.http.websocket]
max_connections = 20000
ping_interval = 0

[plugins.websocket.rooms]
members = 20000
"""
HEADER: Final = ["", "joins", "CPU ms", "us / join", "KiB / join", "private MiB"]


class Crowd:
    """Clients that come as fast as they are let in, and read whatever they are told.

    Attributes:
        received: Bytes that came.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self.received = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._sockets.values():
            each.close()
        self._poll.close()

    def join(self, count: int) -> None:
        """Let so many join, and read until nothing comes any more.

        Raises:
            ConnectionError: One was not let in, or was closed.
            TimeoutError: It does not end.
        """
        asked = handshake("/members")
        waiting: set[int] = set()
        last, end = time.monotonic(), time.monotonic() + PATIENCE
        while len(self._sockets) < count or time.monotonic() < last + QUIET:
            while len(self._sockets) < count and len(waiting) < AT_ONCE:
                each = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
                each.sendall(asked)
                each.setblocking(False)
                self._sockets[each.fileno()] = each
                self._poll.register(each, select.EPOLLIN)
                waiting.add(each.fileno())
            for number, _ in self._poll.poll(0.05):
                got = self._sockets[number].recv(1 << 20)
                if not got:
                    raise ConnectionError("a member was closed")
                if number in waiting:
                    if not got.startswith(b"HTTP/1.1 101 "):
                        raise ConnectionError(f"no WebSocket: {got[:80]!r}")
                    waiting.discard(number)
                self.received += len(got)
                last = time.monotonic()
            if time.monotonic() > end:
                raise TimeoutError(f"they are told without an end for {PATIENCE:.0f} seconds")


def measured(name: str, backend: str, joins: int, folder: Path) -> tuple[float, float, float]:
    """Milliseconds of CPU, bytes sent, and mebibytes that the process has grown by."""
    recipe = covet(
        name,
        module="covet_presence",
        backend=backend,
        settings=f"max_connections = 20000\n{LIMITS}",
    )
    if recipe.missing:
        raise RuntimeError(recipe.missing)
    with Server(recipe, folder, PROBE) as server, Crowd(server.port) as crowd:
        empty, before = server.memory()[2], cpu(server.pids)
        crowd.join(joins)
        taken = cpu(server.pids) - before
        return taken * 1e3, crowd.received, (server.memory()[2] - empty) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--joins", type=int, nargs="+", default=[100, 1000, 10_000])
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE})
    for name, value in environment():
        print(f"{name}: {value}")
    samples: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-presence-") as folder:
        for _ in range(given.rounds):
            for joins in given.joins:
                for name, backend in (("covet", "asyncio"), ("covet, trio", "trio")):
                    try:
                        found = measured(name, backend, joins, Path(folder))
                    except (OSError, RuntimeError) as error:
                        print(f"not measured: {name}, {joins} joins: {error}")
                        continue
                    samples.setdefault((name, joins), []).append(found)
    rows = []
    for (name, joins), each in samples.items():
        taken, sent, held = (statistics.median(values) for values in zip(*each, strict=True))
        rows.append(
            [
                name, f"{joins:,}", f"{taken:.0f}", f"{taken / joins * 1e3:.0f}",
                f"{sent / joins / 1024:.1f}", f"{held:.1f}",
            ]
        )  # fmt: skip
    print(f"\nload after: {', '.join(f'{load:.2f}' for load in os.getloadavg())}")
    print(f"median of {given.rounds} runs\n\n{text(HEADER, rows)}")


if __name__ == "__main__":
    main()
