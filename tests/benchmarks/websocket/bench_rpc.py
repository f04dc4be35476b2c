"""Calls over WebSockets: covet-websocket beside the same by hand on websockets and on FastAPI.

    python tests/benchmarks/websocket/bench_rpc.py [--rounds 10] [--quick]

Each of a few connections sends some calls at once, each with an id of its own, and as many again when all
are answered, to all servers in turn. Every byte of what comes is compared to an answer that was read as JSON and is
right. Counted is the CPU time of the server's processes for each call. covet has its default configuration
with every limit on. No client offers compression. Nothing here asserts a time; see the README beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from entries import Recipe, Server, covet, frame, handshake, uvicorn, websockets
from generator import Generator, Sample, Work, WrongAnswerError
from machine import environment
from rounds import Rounds, ratios
from table import text

CONNECTIONS = 8
AT_ONCE = 8
HEADER = ["", "CPU us", "quartiles", "calls / CPU s", "core"]
SETTINGS = "\n[plugins.websocket]\n[plugins.websocket.rpc]\n"
PATIENCE = 10


@dataclass(frozen=True)
class Calls(Work):
    """Calls of a method, which are sent at once.

    Attributes:
        method: Which is called.
        params: With what.
        answer: The result of each.
    """

    method: str = ""
    params: Any = None

    @property
    def request(self) -> bytes:
        calls = (
            {"id": number, "method": self.method, "params": self.params}
            for number in range(1, AT_ONCE + 1)
        )
        written = (json.dumps(call, separators=(",", ":")).encode() for call in calls)
        return b"".join(frame(1, call, b"\x37\xfa\x21\x3d") for call in written)

    def answers(self, port: int) -> bytes:
        """The frames that a server answers them with.

        Raises:
            WrongAnswerError: One is wrong.
        """
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(self.handshake)
            with connection.makefile("rb") as received:
                status = received.readline()
                if not status.startswith(b"HTTP/1.1 101 "):
                    raise WrongAnswerError(f"no WebSocket: {status!r}")
                while received.readline().strip():
                    pass
                connection.sendall(self.request)
                frames = b""
                for number in range(1, AT_ONCE + 1):
                    head = received.read(2)
                    if head[1] == 126:
                        head += received.read(2)
                    size = int.from_bytes(head[2:], "big") if head[2:] else head[1]
                    said = received.read(size)
                    if json.loads(said) != {"id": number, "result": self.answer}:
                        raise WrongAnswerError(f"{self.method}: {said!r}")
                    frames += head + said
                return frames


def calls(name: str, method: str, params: Any, result: Any) -> Calls:
    return Calls(name, "/rpc", result, handshake=handshake("/rpc"), method=method, params=params)


LINES = [
    {"book_id": 7, "quantity": 2, "note": ""},
    {"book_id": 11, "quantity": 1, "note": "as a gift, please"},
    {"book_id": 42, "quantity": 12, "note": ""},
]
WORKS = {
    "a price": calls("price", "books.price", {"book_id": 7}, 907),
    "an order": calls(
        "order",
        "orders.place",
        {"customer": "Ada Lovelace", "lines": LINES},
        {"number": 1, "customer": "Ada Lovelace", "cents": 14029, "lines": LINES},
    ),
}
PEERS = ("websockets", "websockets, uvloop", "FastAPI, uvicorn")


def recipes() -> list[Recipe]:
    return [
        covet("covet", module="covet_rpc", settings=SETTINGS),
        covet("covet, trio", module="covet_rpc", backend="trio", settings=SETTINGS),
        websockets(PEERS[0], module="websockets_rpc"),
        websockets(PEERS[1], "--uvloop", module="websockets_rpc"),
        uvicorn(PEERS[2], "fastapi_rpc:app"),
    ]


def main(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-rpc-") as folder:
        generator = Generator(Path(folder))

        def load(work: Calls, server: Server) -> Sample:
            sample = generator.run(
                work,
                work.answers(server.port),
                server.port,
                server.pids,
                connections=CONNECTIONS,
                depth=1,
                seconds=given.seconds,
                warm_up=given.warm_up,
            )
            return replace(sample, cpu=sample.cpu / AT_ONCE, rate=sample.rate * AT_ONCE)

        rounds = Rounds(given, Path(folder), WORKS, recipes(), load)
        head = environment("websockets", "uvloop", "fastapi", "uvicorn", "pydantic")
        rounds.run()
    for name, value in head:
        print(f"{name}: {value}")
    print(f"load after: {', '.join(f'{load:.2f}' for load in os.getloadavg())}")
    print(
        f"runs: median of {given.rounds} interleaved runs of {given.seconds} s,"
        f" {CONNECTIONS} connections with {AT_ONCE} calls at once"
    )
    for title in WORKS:
        print(f"\n{title}\n{text(HEADER, rounds.rows(title))}\n")
        for peer in PEERS:
            print(
                "\n".join(ratios(title, rounds.samples[title], peer, only=("covet", "covet, trio")))
            )
    for name, problem in rounds.problems.items():
        print(f"\nnot measured: {name}: {problem}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--warm-up", type=float, default=0.3)
    parser.add_argument("--tries", type=int, default=3, help="of a run that others disturb")
    parser.add_argument("--quick", action="store_true", help="two rounds of a quarter second")
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.rounds, parsed.seconds, parsed.warm_up, parsed.tries = 2, 0.25, 0.1, 1
    main(parsed)
