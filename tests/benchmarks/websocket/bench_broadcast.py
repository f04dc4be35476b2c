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
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from entries import LOAD_CORE, PROBE, Recipe, Server, covet, cpu, floor, websockets
from machine import environment
from members import Room, WrongMessageError
from messages import MESSAGES
from table import GOALS, Goal, goal_rows, judge, spread, text

HEADER = ["", "CPU ms", "quartiles", "/ floor", "over floor", "us / member"]
COMPRESSING = "[plugins.http.websocket]\ncompression = true\n"
GOAL = 1 / 5
FLOOR = "floor"


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        cpu: Milliseconds of the server's CPU for each broadcast.
    """

    cpu: float


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


CASES = {
    "no compression": Case(offered=False, websockets=("--plain",)),
    "defaults, clients offer compression": Case(offered=True),
    "both compress": Case(offered=True, covet=COMPRESSING),
}


class Bench:
    """All rounds of a run: each starts every server anew and loads one at a time."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given = given
        self.folder = folder
        self.samples: dict[str, dict[str, dict[int, Sample]]] = {title: {} for title in given.only}
        self.problems: dict[str, str] = {}

    def rounds(self) -> None:
        for number in range(self.given.rounds):
            for title in self.given.only:
                recipes = CASES[title].recipes()
                turn = number % len(recipes)
                for recipe in recipes[turn:] + recipes[:turn]:
                    if recipe.missing:
                        self.problems[recipe.name] = recipe.missing
                        continue
                    try:
                        sample = self._sample(recipe, CASES[title])
                    except (WrongMessageError, RuntimeError, OSError) as error:
                        self.problems[f"{title}: {recipe.name}, round {number + 1}"] = str(error)
                        continue
                    self.samples[title].setdefault(recipe.name, {})[number] = sample
            print(f"round {number + 1} of {self.given.rounds}", file=sys.stderr)

    def _sample(self, recipe: Recipe, case: Case) -> Sample:
        # The floor has one frame, and no idea of compression.
        same = recipe.name == FLOOR
        offered = case.offered and not same
        count = self.given.broadcasts
        with (
            Server(recipe, self.folder, PROBE) as server,
            Room(server.port, self.given.members, deflate=offered) as room,
        ):
            warm_up = [0] * 5 if same else range(5)
            room.broadcasts(warm_up)
            before = cpu(server.pids)
            room.broadcasts([0] * count if same else range(5, 5 + count))
            return Sample((cpu(server.pids) - before) / count * 1e3)

    def rows(self, title: str) -> list[list[str]]:
        found = []
        floors = self.samples[title].get(FLOOR, {})
        for name, each in self.samples[title].items():
            low, middle, high = spread([sample.cpu for sample in each.values()])
            pairs = [(sample.cpu, floors[i].cpu) for i, sample in each.items() if i in floors]
            ratio = own = ""
            if pairs:
                ratio = f"{statistics.median(ours / least for ours, least in pairs):.2f}"
                own = f"{statistics.median(ours - least for ours, least in pairs):.2f}"
            cost = [f"{middle:.2f}", f"{low:.2f} - {high:.2f}", ratio, own]
            found.append([name, *cost, f"{middle / self.given.members * 1e3:.2f}"])
        return found


def main(given: argparse.Namespace) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {LOAD_CORE})
    head = environment("websockets", "uvloop")
    with tempfile.TemporaryDirectory(prefix="bench-broadcast-") as folder:
        bench = Bench(given, Path(folder))
        bench.rounds()
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
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--broadcasts", type=int, default=100)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="two rounds of 20 broadcasts")
    parser.add_argument(
        "--only", nargs="+", default=list(CASES), choices=list(CASES), metavar="CASE"
    )
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.rounds, parsed.broadcasts = 2, 20
    main(parsed)
