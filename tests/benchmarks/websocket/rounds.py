"""Rounds of a run of `load.c`: each starts every server anew and loads one at a time."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from entries import PROBE, Recipe, Server
from generator import Sample, WrongAnswerError
from table import Goal, Samples, judge, spread

W = TypeVar("W")
STEADY = 0.95


class Rounds(Generic[W]):
    """What servers do, and what of it is not to be had.

    Args:
        given: ``rounds``, and ``tries`` of a run that others disturb.
        folder: For what servers need.
        works: By their titles.
        recipes: Of all servers.
        load: Runs the generator once.

    Attributes:
        samples: By work, by server, by number of the round.
        problems: What was not measured, with the reason.
    """

    def __init__(
        self,
        given: argparse.Namespace,
        folder: Path,
        works: Mapping[str, W],
        recipes: Sequence[Recipe],
        load: Callable[[W, Server], Sample],
    ) -> None:
        self.given = given
        self.folder = folder
        self.works = works
        self.recipes = recipes
        self.samples: dict[str, dict[str, dict[int, Sample]]] = {title: {} for title in works}
        self.problems: dict[str, str] = {}
        self._load = load

    def run(self) -> None:
        for number in range(self.given.rounds):
            servers: list[Server] = []
            try:
                for recipe in self.recipes:
                    self._start(recipe, servers)
                turn = number % max(len(servers), 1)
                for title, work in self.works.items():
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

    def _sample(self, title: str, work: W, server: Server, number: int) -> None:
        server.resume()
        try:
            tries: list[Sample] = []
            while len(tries) < self.given.tries and not any(t.steady >= STEADY for t in tries):
                tries.append(self._load(work, server))
            best = max(tries, key=lambda each: each.steady)
            self.samples[title].setdefault(server.name, {})[number] = best
        except (WrongAnswerError, OSError) as error:
            self.problems[f"{title}: {server.name}, round {number + 1}"] = str(error)
        finally:
            server.pause()

    def rows(self, title: str) -> list[list[str]]:
        found = []
        for name, each in self.samples[title].items():
            samples = list(each.values())
            low, middle, high = spread([sample.cpu for sample in samples])
            busy = spread([sample.busy for sample in samples])[1]
            cost = [f"{middle:.2f}", f"{low:.2f} - {high:.2f}", f"{1e6 / middle:,.0f}"]
            found.append([name, *cost, f"{busy * 100:.0f}%"])
        return found


def ratios(
    title: str,
    samples: Samples[Sample],
    against: str = "websockets",
    only: Container[str] | None = None,
) -> list[str]:
    """Lines that say how others, or only some of them, compare to a server, round by round."""
    lines = []
    for name in samples:
        if name == against or (only is not None and name not in only):
            continue
        found = judge(Goal(title, name, against, 1.0), samples)
        if found.value is not None:
            lines.append(f"{title}: {name} takes {found.value:.2f} of the CPU of {against}")
    return lines
