"""Echo over WebSockets: covet's native engine beside socketify and websockets, and what idle ones hold.

    python tests/benchmarks/websocket/bench_echo.py [--rounds 10] [--quick] [--idle 10 1000 10000]

Each of 50 connections sends a message and the next when it is back, to all servers in turn; every byte of
what comes is compared. Counted is the CPU time of the server's processes for each message. covet has
its default configuration with every limit on. No client offers compression. Nothing here asserts a time;
see the README beside this file.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path

from entries import PROBE, Echo, Recipe, Server, covet, echo, socketify, websockets
from generator import Generator, Sample, WrongAnswerError
from machine import environment
from rounds import Rounds, ratios
from table import GOALS, Goal, goal_rows, judge, text

CONNECTIONS = 50
HEADER = ["", "CPU us", "quartiles", "messages / CPU s", "core"]
MEMORY = ["", "WebSockets", "MiB", "KiB each"]
WORKS = {
    "64 B": echo(
        "64", b"a message of sixty-four bytes is about as long as this line is: ", text=True
    ),
    "16 KiB": echo("16k", bytes(range(256)) * 64),
}
# More of them than the service takes unless it is told to, which is 5,000.
MANY = "max_connections = 20000\n[plugins.http.websocket]\nmax_connections = 20000\n"


def recipes(*, idle: bool = False) -> list[Recipe]:
    settings = MANY if idle else ""
    ours = [
        covet("covet", settings=settings),
        covet("covet, trio", backend="trio", settings=settings),
    ]
    return [
        *ours,
        socketify(),
        websockets("websockets"),
        websockets("websockets, uvloop", "--uvloop"),
    ]


class Bench(Rounds[Echo]):
    """All rounds of a run, and then what idle WebSockets hold."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        super().__init__(given, folder, WORKS, recipes(), self._echo)
        self.generator = Generator(folder)
        self.held: list[list[str]] = []

    def _echo(self, work: Echo, server: Server) -> Sample:
        return self.generator.run(
            work,
            work.frame_back,
            server.port,
            server.pids,
            connections=CONNECTIONS,
            depth=1,
            seconds=self.given.seconds,
            warm_up=self.given.warm_up,
        )

    def memory(self, counts: Sequence[int]) -> None:
        """What WebSockets hold that have said one thing and say nothing more."""
        work = WORKS["64 B"]
        for count in counts:
            for recipe in recipes(idle=True):
                if recipe.missing:
                    continue
                try:
                    with Server(recipe, self.folder, PROBE) as server:
                        empty = server.memory()[2]
                        with self.generator.hold(work, work.frame_back, server.port, count):
                            grown = server.memory()[2] - empty
                except (WrongAnswerError, RuntimeError, OSError) as error:
                    self.problems[f"{count:,} idle: {recipe.name}"] = str(error)
                    continue
                row = [server.name, f"{count:,}", f"{grown / 1024:.1f}", f"{grown / count:.1f}"]
                self.held.append(row)


def goals(title: str) -> list[Goal]:
    ours = ("covet", "covet, trio")
    return [Goal(f"{title}, CPU: {each}", each, "socketify", 1.0) for each in ours]


def main(given: argparse.Namespace) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-echo-") as folder:
        bench = Bench(given, Path(folder))
        head = environment("websockets", "socketify", "uvloop")
        bench.run()
        bench.memory(given.idle)
    for name, value in head:
        print(f"{name}: {value}")
    print(f"load after: {', '.join(f'{load:.2f}' for load in os.getloadavg())}")
    print(
        f"runs: median of {given.rounds} interleaved runs of {given.seconds} s,"
        f" {CONNECTIONS} connections"
    )
    for title in WORKS:
        print(f"\n{title}\n{text(HEADER, bench.rows(title))}")
    if bench.held:
        print(f"\nidle\n{text(MEMORY, bench.held)}")
    verdicts = [judge(goal, bench.samples[title]) for title in WORKS for goal in goals(title)]
    print(f"\nGoals\n{text(GOALS, goal_rows(verdicts))}")
    for title in WORKS:
        print("\n" + "\n".join(ratios(title, bench.samples[title])))
    for name, problem in bench.problems.items():
        print(f"\nnot measured: {name}: {problem}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--warm-up", type=float, default=0.3)
    parser.add_argument("--tries", type=int, default=3, help="of a run that others disturb")
    parser.add_argument("--idle", type=int, nargs="*", help="WebSockets, of which memory is read")
    parser.add_argument("--quick", action="store_true", help="two rounds of a quarter second")
    parsed = parser.parse_args()
    if parsed.idle is None:
        parsed.idle = [10, 1000] if parsed.quick else [10, 1000, 10_000]
    if parsed.quick:
        parsed.rounds, parsed.seconds, parsed.warm_up, parsed.tries = 2, 0.25, 0.1, 1
    main(parsed)
