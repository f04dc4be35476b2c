"""From process start to the first answered request, and memory, against the FastAPI peer.

Every run is a fresh process on the same interpreter: it is started, polled until ``GET /books/1``
is answered, asked a few more requests of every kind, weighed, and stopped. Memory is what
``smaps_rollup`` says of the process and its children: PSS counts shared pages by their share, RSS
counts them whole.

The peer answers these requests and no more. The shop also loads what versions, uploads, idempotency keys
and its page take, and on its first start what migrates; that is in its numbers.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Comparison, interleaved, report
from e2e.answers import lines
from e2e.load import http_request, read_answer
from e2e.service import PATIENCE, Service, bookshop, copy_example, peer

RUNS = 15
PAUSE = 0.001
"""Seconds between two attempts to connect: the resolution of the times."""

REQUESTS = [
    ("GET", "/books?q=the&limit=20", None),
    ("GET", "/authors/10", None),
    ("GET", "/books/99999", None),
    ("GET", "/books?limit=0", None),
    ("PATCH", "/books/1", {"stock": 1000}),
    ("POST", "/orders", lines((1, 1))),
]


@dataclass(frozen=True)
class Start:
    """One start: times to the first answer in ms, memory of the process tree in MiB."""

    wall: float
    cpu: float
    rss: float
    pss: float


def processes(pid: int) -> list[int]:
    """A process and all below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in below for each in processes(int(child)))]


def memory(pid: int, kind: str) -> float:
    """``Rss`` or ``Pss`` of a process tree in MiB."""
    texts = (Path(f"/proc/{each}/smaps_rollup").read_text() for each in processes(pid))
    found = (re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE) for text in texts)
    return sum(int(match[1]) for match in found if match) / 1024


def cpu_time(pid: int) -> float:
    """Milliseconds that all threads of a process tree have been on a processor."""
    files = (
        file for each in processes(pid) for file in Path(f"/proc/{each}/task").glob("*/schedstat")
    )
    return sum(int(file.read_text().split()[0]) for file in files) / 1e6


def ask(port: int, method: str, path: str, body: object) -> int:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(http_request(method, path, body, close=True))
        return read_answer(connection).status


def start(service: Service) -> Start:
    """From before the process is made until a request is answered, and what it weighs then."""
    begun = time.perf_counter()
    service.start()
    pid = service.process.pid
    try:
        status = None
        while status is None:
            try:
                status = ask(service.port, "GET", "/books/1", None)
            except ConnectionRefusedError:
                assert service.process.poll() is None, service.output
                time.sleep(PAUSE)
        wall, cpu = 1e3 * (time.perf_counter() - begun), cpu_time(pid)
        assert status == 200, service.output
        for request in REQUESTS:
            ask(service.port, *request)
        return Start(wall, cpu, memory(pid, "Rss"), memory(pid, "Pss"))
    finally:
        service.stop()


def test_start() -> None:
    with TemporaryDirectory() as place:
        compare("start of a shop that is stocked", Path(place), first=False)


def test_first_start() -> None:
    with TemporaryDirectory() as place:
        compare("first start, which stocks the shop", Path(place), first=True)


def compare(subject: str, place: Path, *, first: bool) -> None:
    """Start the three in turn; with ``first`` from an empty shop each time."""
    starts: dict[str, list[Start]] = {}

    def rival(name: str, service: Callable[[Path], Service]) -> Callable[[], float]:
        starts[name] = []
        folder = place / name.replace(", ", "-")

        def measure() -> float:
            for database in folder.glob("*.db*") if first else ():
                database.unlink()
            starts[name].append(start(service(folder)))
            return starts[name][-1].wall

        if service is not peer:
            copy_example(folder)
        return measure

    rivals = {
        "covet, asyncio": rival("covet, asyncio", lambda folder: bookshop(folder, "asyncio")),
        "covet, trio": rival("covet, trio", lambda folder: bookshop(folder, "trio")),
        "fastapi": rival("fastapi", peer),
    }
    times = interleaved(rivals, RUNS)
    report(f"time to the first answer, {subject}", times, _pairs(0.7, 0.9), unit="ms")
    for field, title, unit, goals in (
        ("cpu", "processor time to the first answer", "ms", (0.7, 0.9)),
        ("pss", f"PSS after {len(REQUESTS) + 1} requests", "MiB", (0.85, 0.95)),
        ("rss", f"RSS after {len(REQUESTS) + 1} requests", "MiB", (0.85, 0.95)),
    ):
        samples = {
            name: [getattr(each, field) for each in found[-RUNS:]] for name, found in starts.items()
        }
        report(f"{title}, {subject}", samples, _pairs(*goals), unit=unit)


def _pairs(asyncio: float, trio: float) -> list[Comparison]:
    return [
        Comparison("asyncio / fastapi", "covet, asyncio", "fastapi", asyncio),
        Comparison("trio / fastapi", "covet, trio", "fastapi", trio),
    ]


if __name__ == "__main__":
    test_start()
    test_first_start()
