"""Measure rivals in turn and print ratios of medians. Nothing here asserts a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from time import process_time

import anyio


@dataclass(frozen=True)
class Comparison:
    """One line of a report: ``ours`` against ``theirs``, and the ratio not to exceed."""

    title: str
    ours: str
    theirs: str
    goal: float


def interleaved(
    rivals: Mapping[str, Callable[[], float]], runs: int, *, warm_up: int = 1
) -> dict[str, list[float]]:
    """Call every rival once per round, so that a slow moment of the machine hits them all.

    The order turns by one each round, so that none always follows the same other.

    Returns:
        What each call returned, by rival, without the first ``warm_up`` rounds.
    """
    samples: dict[str, list[float]] = {name: [] for name in rivals}
    names = list(rivals)
    for number in range(runs + warm_up):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            sample = rivals[name]()
            if number >= warm_up:
                samples[name].append(sample)
    return samples


async def cost_of_calls(
    call: Callable[[int], Awaitable[object]], *, calls: int, tasks: int
) -> float:
    """Microseconds of this process's CPU for each of ``calls`` calls, made by ``tasks`` tasks at once.

    They are numbered from 0; those of one task lie ``tasks`` apart. All are made twice, and the second
    time counts.
    """

    async def some(task: int) -> None:
        for number in range(task, calls, tasks):
            await call(number)

    async def all_tasks() -> None:
        async with anyio.create_task_group() as group:
            for task in range(tasks):
                group.start_soon(some, task)

    await all_tasks()
    begun = process_time()
    await all_tasks()
    return 1e6 * (process_time() - begun) / calls


def report(
    subject: str,
    samples: Mapping[str, list[float]],
    comparisons: list[Comparison],
    *,
    unit: str,
    digits: int = 1,
) -> dict[str, float]:
    """Print medians with quartiles, and each comparison's ratio beside its goal.

    Returns:
        The ratios by title.
    """
    runs = len(next(iter(samples.values())))
    print(f"\n{subject} (median of {runs}, quartiles in brackets)")
    width = max(map(len, samples))
    for name, values in samples.items():
        low, _, high = quantiles(values, n=4)
        middle = median(values)
        print(
            f"  {name:<{width}}  {middle:8.{digits}f} {unit}  [{low:.{digits}f}, {high:.{digits}f}]"
        )
    ratios: dict[str, float] = {}
    for each in comparisons:
        ratio = ratios[each.title] = median(samples[each.ours]) / median(samples[each.theirs])
        met = "met" if ratio <= each.goal else "MISSED"
        print(f"  {each.title}: {ratio:.2f}, goal at most {each.goal}: {met}")
    return ratios
