"""The numbers of transactions over several databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

from covet_kernel.contracts import Metric
from covet_twophase._counts import Counts
from covet_twophase._folder import Logs
from covet_twophase._recovery import Recovery

Read = Callable[[], Iterable[tuple[tuple[str, ...], float]]]


def metrics(recovery: Recovery, logs: Logs, counts: Counts) -> Iterable[Metric]:
    """Everything that can be read at any time."""

    def transactions() -> Iterable[tuple[tuple[str, ...], float]]:
        yield ("committed",), counts.committed
        yield ("one phase",), counts.one_phase
        yield ("rolled back",), counts.rolled_back

    def in_doubt() -> Iterable[tuple[tuple[str, ...], float]]:
        found = Counter(database for _, database in recovery.doubts)
        return [((name,), found[name]) for name in recovery.foreign]

    def metric(
        name: str, kind: Literal["counter", "gauge"], read: Read, text: str, *labels: str
    ) -> Metric:
        return Metric(name=f"twophase.{name}", kind=kind, read=read, labels=labels, help=text)

    yield metric("transactions", "counter", transactions, "Transactions, by their end.", "end")
    yield metric(
        "in_doubt", "gauge", in_doubt, "Parts of transactions that are to be ended.", "database"
    )
    yield metric(
        "recovered",
        "counter",
        lambda: [((each,), counts.recovered[each]) for each in ("commit", "roll back")],
        "Parts that were ended afterwards, by how.",
        "outcome",
    )
    yield metric(
        "heuristic",
        "counter",
        lambda: [((), counts.heuristic)],
        "Parts that somebody else has ended, though they were to be committed.",
    )
    yield metric(
        "foreign",
        "gauge",
        lambda: [((name,), number) for name, number in recovery.foreign.items()],
        "Prepared parts of coordinators whose log is not here.",
        "database",
    )
    yield metric(
        "log.size",
        "gauge",
        lambda: [((), sum(log.size for log in logs.held.values()))],
        "Bytes of the logs.",
    )
