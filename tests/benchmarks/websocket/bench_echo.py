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
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from entries import PROBE, Echo, Recipe, Server, covet, echo, socketify, websockets
from generator import Generator, Sample, WrongAnswerError
from machine import environment
from table import GOALS, Goal, Samples, goal_rows, judge, spread, text

CONNECTIONS = 50
STEADY = 0.95
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


class Bench:
    """All rounds of a run: each starts every server anew and loads one at a time."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given = given
        self.folder = folder
        self.generator = Generator(folder)
        self.samples: dict[str, dict[str, dict[int, Sample]]] = {title: {} for title in WORKS}
        self.problems: dict[str, str] = {}
        self.held: list[list[str]] = []

    def rounds(self) -> None:
        for number in range(self.given.rounds):
            servers: list[Server] = []
            try:
                for recipe in recipes():
                    self._start(recipe, servers)
                turn = number % max(len(servers), 1)
                for title, work in WORKS.items():
                    for server in servers[turn:] + servers[:turn]:
                        self._sample(title, work, server, number)
            finally:
                for each in servers:
                    each.stop()
            print(f"round {number + 1} of {self.given.rounds}", file=sys.stderr)

    def _start(self, recipe: Recipe, servers: list[Server]) -> None:
        if recipe.missing:
            self.problems[recipe.name] = recipe.missing
            return
        try:
            server = Server(recipe, self.folder, PROBE)
        except RuntimeError as error:
            self.problems[recipe.name] = str(error)
            return
        servers.append(server)
        server.pause()

    def _sample(self, title: str, work: Echo, server: Server, number: int) -> None:
        server.resume()
        try:
            tries: list[Sample] = []
            while len(tries) < self.given.tries and not any(t.steady >= STEADY for t in tries):
                tries.append(
                    self.generator.run(
                        work,
                        work.frame_back,
                        server.port,
                        server.pids,
                        connections=CONNECTIONS,
                        depth=1,
                        seconds=self.given.seconds,
                        warm_up=self.given.warm_up,
                    )
                )
            best = max(tries, key=lambda each: each.steady)
            self.samples[title].setdefault(server.name, {})[number] = best
        except (WrongAnswerError, OSError) as error:
            self.problems[f"{title}: {server.name}, round {number + 1}"] = str(error)
        finally:
            server.pause()

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

    def rows(self, title: str) -> list[list[str]]:
        found = []
        for name, each in self.samples[title].items():
            samples = list(each.values())
            low, middle, high = spread([sample.cpu for sample in samples])
            busy = spread([sample.busy for sample in samples])[1]
            cost = [f"{middle:.2f}", f"{low:.2f} - {high:.2f}", f"{1e6 / middle:,.0f}"]
            found.append([name, *cost, f"{busy * 100:.0f}%"])
        return found


def goals(title: str) -> list[Goal]:
    ours = ("covet", "covet, trio")
    return [Goal(f"{title}, CPU: {each}", each, "socketify", 1.0) for each in ours]


def ratios(title: str, samples: Samples[Sample]) -> list[str]:
    """Lines that say how others compare to `websockets`, round by round."""
    lines = []
    for name in samples:
        found = judge(Goal(title, name, "websockets", 1.0), samples)
        if found.value is not None and name != "websockets":
            lines.append(f"{title}: {name} takes {found.value:.2f} of the CPU of websockets")
    return lines


def main(given: argparse.Namespace) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-echo-") as folder:
        bench = Bench(given, Path(folder))
        head = environment("websockets", "socketify", "uvloop")
        bench.rounds()
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
