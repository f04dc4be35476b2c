"""The bookshop's search on PostgreSQL, as it is served by default, against FastAPI, uvicorn and asyncpg.

Both ask one database the same statement and give the same answers, which is compared first. What is measured is the processor time of the server's process for a request; the
database's is the same for all. 32 clients keep their connections and wait for each answer.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from benchmarks.bookshop.bench_start import cpu_time
from benchmarks.measure import Comparison, interleaved, report
from e2e.load import http_request
from e2e.service import SCRIPTS, Service, bookshop, bookshop_folder, environment
from services.process import free_port

from layout.checkout import ROOT

RUNS = 9
CLIENTS = 32
REQUESTS = 1600
PATHS = (
    "/books?q=austen",
    "/books?q=the",
    "/books?q=moby%20dick",
    "/books?q=love&limit=10",
    "/books?q=adventures&limit=20&offset=5",
    "/books?q=xyzzy",
    "/books?q=war%20peace",
    "/books?q=dick",
)


def peer(folder: Path, url: str) -> Service:
    """The same search in FastAPI."""
    port = free_port()
    app = ROOT / "tests" / "benchmarks" / "peers" / "search_fastapi"
    command = [str(SCRIPTS / "uvicorn"), "--app-dir", str(app), "main:app", "--ws", "none"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    environ = environment(BOOKSHOP_DATABASE=url)
    return Service(command, port, folder / f"peer-{port}.log", environ)


def shares(pid: int) -> tuple[float, float]:
    """Milliseconds that a process has computed itself, and that the system has for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick = 1e3 / os.sysconf("SC_CLK_TCK")
    return int(fields[11]) * tick, int(fields[12]) * tick


def ask(port: int, count: int) -> None:
    """So many requests by all clients together, each of which waits for its answer."""
    requests = cycle([http_request("GET", path) for path in PATHS])
    todo = islice(requests, count)
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(next(todo))
            selector.register(client, selectors.EVENT_READ, bytearray())
        left = CLIENTS
        while left:
            for key, _ in selector.select():
                client = key.fileobj
                assert isinstance(client, socket.socket)
                key.data.extend(client.recv(65536))
                if not whole(key.data):
                    continue
                assert key.data.startswith(b"HTTP/1.1 200"), bytes(key.data[:200])
                key.data.clear()
                if (request := next(todo, None)) is None:
                    selector.unregister(client)
                    left -= 1
                else:
                    client.sendall(request)


def whole(data: bytearray) -> bool:
    """Whether an answer is complete."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


def test_search() -> None:
    with TemporaryDirectory() as place, ExitStack() as stack:
        folder = stack.enter_context(bookshop_folder(Path(place) / "shop", "postgresql"))
        url = next(
            line.partition('"')[2].rstrip('"')
            for line in (folder / "covet.toml").read_text().splitlines()
            if line.startswith("url = ")
        )
        services = {
            "covet, asyncio": bookshop(folder, "asyncio"),
            "covet, trio": bookshop(folder, "trio"),
            "fastapi": peer(Path(place), url),
        }
        for service in services.values():
            stack.enter_context(service)
        for path in PATHS:
            answers = {
                name: httpx.get(f"http://127.0.0.1:{service.port}{path}").json()
                for name, service in services.items()
            }
            assert all(answer == answers["fastapi"] for answer in answers.values()), path

        def rival(service: Service) -> Callable[[], float]:
            def measure() -> float:
                begun = cpu_time(service.process.pid)
                ask(service.port, REQUESTS)
                return 1e3 * (cpu_time(service.process.pid) - begun) / REQUESTS

            return measure

        before = {name: shares(each.process.pid) for name, each in services.items()}
        report(
            f"search on PostgreSQL, {CLIENTS} clients, processor time of the server for a request",
            interleaved({name: rival(each) for name, each in services.items()}, RUNS),
            [
                Comparison("asyncio / fastapi", "covet, asyncio", "fastapi", 1 / 4),
                Comparison("trio / fastapi", "covet, trio", "fastapi", 1 / 4),
            ],
            unit="us",
        )
        asked = (RUNS + 1) * REQUESTS
        for name, service in services.items():
            own, system = (
                1e3 * (after - begun) / asked
                for begun, after in zip(before[name], shares(service.process.pid), strict=True)
            )
            print(f"  {name}: {own:.0f} us of its own, {system:.0f} us of the system's")


if __name__ == "__main__":
    test_search()
