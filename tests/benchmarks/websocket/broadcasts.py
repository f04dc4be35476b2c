"""Rounds of broadcasts: each starts every server anew, has members join it, and counts its CPU."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from entries import PROBE, Recipe, Server, cpu
from members import Room, WrongMessageError
from table import spread

FLOOR = "floor"
HEADER = ["", "CPU ms", "quartiles", "/ floor", "over floor", "us / member"]
WARM_UP = 5


@dataclass(frozen=True)
class Sample:
    """One run.

    Attributes:
        cpu: Milliseconds of the server's CPU for each broadcast.
        memory: Private KiB that it has grown by for each member, once they had a few.
    """

    cpu: float
    memory: float


class Case(Protocol):
    """Who takes part, and with which clients."""

    def recipes(self) -> list[Recipe]:
        """All servers."""

    def room(self, name: str, port: int, members: int) -> Room:
        """The members of one."""


def arguments(of: str) -> argparse.ArgumentParser:
    """What a benchmark of broadcasts is told; ``of`` is what it sends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--broadcasts", type=int, default=100)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help=f"two rounds of 20 {of}")
    return parser


def told(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The same, from the command line."""
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.rounds, parsed.broadcasts = 2, 20
    return parsed


class Broadcasts:
    """What servers do, and what of it is not to be had.

    Args:
        given: ``rounds``, ``broadcasts`` of each, and ``members``.
        folder: For what servers need.
        cases: By their titles.

    Attributes:
        samples: By case, by server, by number of the round.
        problems: What was not measured, with the reason.
    """

    def __init__(self, given: argparse.Namespace, folder: Path, cases: Mapping[str, Case]) -> None:
        self.given = given
        self.folder = folder
        self.cases = cases
        self.samples: dict[str, dict[str, dict[int, Sample]]] = {title: {} for title in cases}
        self.problems: dict[str, str] = {}

    def run(self) -> None:
        for number in range(self.given.rounds):
            for title, case in self.cases.items():
                recipes = case.recipes()
                turn = number % len(recipes)
                for recipe in recipes[turn:] + recipes[:turn]:
                    if recipe.missing:
                        self.problems[recipe.name] = recipe.missing
                        continue
                    try:
                        sample = self._sample(recipe, case)
                    except (WrongMessageError, RuntimeError, OSError) as error:
                        self.problems[f"{title}: {recipe.name}, round {number + 1}"] = str(error)
                        continue
                    self.samples[title].setdefault(recipe.name, {})[number] = sample
            print(f"round {number + 1} of {self.given.rounds}", file=sys.stderr)

    def _sample(self, recipe: Recipe, case: Case) -> Sample:
        count, members = self.given.broadcasts, self.given.members
        with Server(recipe, self.folder, PROBE) as server:
            empty = server.memory()[2]
            with case.room(recipe.name, server.port, members) as room:
                room.broadcasts(range(WARM_UP))
                held = server.memory()[2] - empty
                before = cpu(server.pids)
                room.broadcasts(range(WARM_UP, WARM_UP + count))
                taken = cpu(server.pids) - before
        return Sample(taken / count * 1e3, held / members)

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
