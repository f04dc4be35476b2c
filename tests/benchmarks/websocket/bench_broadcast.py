"""A broadcast to 1,000 members: covet's native engine beside `broadcast()` of websockets.

    python tests/benchmarks/websocket/bench_broadcast.py [--rounds 7] [--quick]

Counted is the CPU time of the server's process for each message of two kilobytes, until all members have it;
then the next is asked for. Every frame is compared. covet has its default configuration but for what a
title says of compression. The floor, `floor.c`, is one bare `send` for each member: what the system takes
for it, nobody can save. Nothing here asserts a time; see the README beside this file.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path

from broadcasts import FLOOR, HEADER, Broadcasts, arguments, told
from entries import LOAD_CORE, Recipe, covet, floor, websockets
from machine import environment
from members import Room
from messages import MESSAGES
from table import GOALS, Goal, goal_rows, judge, text

COMPRESSING = "[plugins.http.websocket]\ncompression = true\n"
GOAL = 1 / 5


@dataclass(frozen=True)
class Case:
    """Who compresses, and whether clients offer it."""

    offered: bool
    covet: str = ""
    websockets: tuple[str, ...] = ()

    def recipes(self) -> list[Recipe]:
        found = [
            covet("covet", settings=self.covet),
            covet("covet, trio", backend="trio", settings=self.covet),
            websockets("websockets", *self.websockets),
            websockets("websockets, uvloop", "--uvloop", *self.websockets),
        ]
        return [*found, floor(MESSAGES[0].encode())]

    def room(self, name: str, port: int, members: int) -> Room:
        # The floor has one frame, and no idea of compression.
        if name == FLOOR:
            return Room(port, members, MESSAGES[:1])
        return Room(port, members, deflate=self.offered)


CASES = {
    "no compression": Case(offered=False, websockets=("--plain",)),
    "defaults, clients offer compression": Case(offered=True),
    "both compress": Case(offered=True, covet=COMPRESSING),
}


def main(given: argparse.Namespace) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE})
    head = environment("websockets", "uvloop")
    with tempfile.TemporaryDirectory(prefix="bench-broadcast-") as folder:
        bench = Broadcasts(given, Path(folder), {title: CASES[title] for title in given.only})
        bench.run()
    for name, value in head:
        print(f"{name}: {value}")
    print(f"load after: {', '.join(f'{load:.2f}' for load in os.getloadavg())}")
    print(
        f"runs: median of {given.rounds} interleaved runs of {given.broadcasts} broadcasts"
        f" of {len(MESSAGES[0])} bytes to {given.members:,} members"
    )
    verdicts = []
    for title in given.only:
        print(f"\n{title}\n{text(HEADER, bench.rows(title))}")
        for ours in ("covet", "covet, trio"):
            goal = Goal(f"{title}: {ours}", ours, "websockets", GOAL)
            verdicts.append(judge(goal, bench.samples[title]))
    print(f"\nGoals\n{text(GOALS, goal_rows(verdicts))}")
    for title in given.only:
        least = judge(Goal(title, FLOOR, "websockets", GOAL), bench.samples[title])
        if least.value is not None:
            print(f"\n{title}: the bare sends alone are {least.value:.2f} of websockets's")
    for name, problem in bench.problems.items():
        print(f"\nnot measured: {name}: {problem}")


if __name__ == "__main__":
    parser = arguments("broadcasts")
    parser.add_argument(
        "--only", nargs="+", default=list(CASES), choices=list(CASES), metavar="CASE"
    )
    main(told(parser))
