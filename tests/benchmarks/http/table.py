"""Medians, ratios and verdicts of a run, as text or Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any, TypeVar

from generator import Sample

S = TypeVar("S")

Samples = Mapping[str, Mapping[int, S]]
"""What each entry of a group did, by the number of the round."""


@dataclass(frozen=True)
class Goal:
    """A line of the table of goals.

    Attributes:
        ours: The entry that has the goal.
        against: The entry of the same group it is divided by, round by round; ``None``: by nothing.
        limit: Not to be passed.
        measure: What of a sample counts.
        unit: Of the measured number.
        at_least: The limit is a least, not a most.
    """

    title: str
    ours: str
    against: str | None
    limit: float
    measure: Callable[[Any], float] = lambda sample: float(sample.cpu)
    unit: str = "x"
    at_least: bool = False


@dataclass(frozen=True)
class Verdict:
    title: str
    value: float | None
    low: float
    high: float
    limit: float
    unit: str
    at_least: bool
    against: str

    @property
    def word(self) -> str:
        if self.value is None:
            return "not run"
        good = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "met" if good else "MISSED"


def judge(goal: Goal, samples: Samples[Any]) -> Verdict:
    """The median of the ratios of each round, with its quartiles."""
    ours = samples.get(goal.ours, {})
    if goal.against is None:
        values = [goal.measure(sample) for sample in ours.values()]
    else:
        values = _ratios(ours, samples.get(goal.against, {}), goal.measure)
    return verdict(goal.title, values, goal.limit, goal.unit, goal.at_least, goal.against or "")


def _ratios(
    ours: Mapping[int, S], theirs: Mapping[int, S], measure: Callable[[S], float]
) -> list[float]:
    """Of the rounds that have both."""
    return [
        measure(each) / measure(theirs[number]) for number, each in ours.items() if number in theirs
    ]


def verdict(
    title: str,
    values: Sequence[float],
    limit: float,
    unit: str,
    at_least: bool = False,
    against: str = "",
) -> Verdict:
    if not values:
        return Verdict(title, None, 0, 0, limit, unit, at_least, against)
    low, middle, high = spread(values)
    return Verdict(title, middle, low, high, limit, unit, at_least, against)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median, the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, median(values), high


def number(value: float) -> str:
    """Three digits that count, in thousands where there are many."""
    if value >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def group_rows(samples: Samples[Sample], base: str) -> list[list[str]]:
    """A line for each entry: CPU with quartiles, ratio to the base, rate, latency."""
    rows = []
    for name, each in samples.items():
        found = list(each.values())
        low, middle, high = spread([sample.cpu for sample in found])
        ratios = _ratios(each, samples.get(base, {}), lambda sample: sample.cpu)
        ratio = f"{median(ratios):.2f}" if ratios else ""
        rate = median(sample.rate for sample in found)
        busy = median(sample.busy for sample in found)
        p50, p99 = median(sample.p50 for sample in found), median(sample.p99 for sample in found)
        cost = [f"{middle:.2f}", f"{low:.2f} - {high:.2f}", ratio]
        rows.append(
            [name, *cost, f"{rate:,.0f}", f"{busy * 100:.0f}%", f"{p50:,.0f}", f"{p99:,.0f}"]
        )
    return rows


GROUP = ["", "CPU us", "quartiles", "/ floor", "requests/s", "core", "p50 us", "p99 us"]
GOALS = ["work", "measured", "quartiles", "goal", ""]


def goal_rows(verdicts: Sequence[Verdict]) -> list[list[str]]:
    rows = []
    for each in verdicts:
        sign = "at least" if each.at_least else "at most"
        against = f" of {each.against}'s" if each.against else ""
        goal = f"{sign} {number(each.limit)} {each.unit}{against}"
        if each.value is None:
            rows.append([each.title, "", "", goal, each.word])
        else:
            quartiles = f"{number(each.low)} - {number(each.high)}"
            rows.append([each.title, number(each.value), quartiles, goal, each.word])
    return rows


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first to the left and the last too, as a person reads them."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose numbers stand to the right."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])
