"""The numbers of replicas, each under the name of its server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from covet_kernel.contracts import Metric
from covet_postgres._replicas import ReplicatedDatabase
from covet_postgres._server import Server
from covet_sql.profile import count_metrics

MISSED = {"missed": "Reads on the primary for want of a replica."}
FAILOVERS = {"failovers": "How often another server has become the primary."}


def replica_metrics(instance: str, database: ReplicatedDatabase) -> Iterable[Metric]:
    """What is pulled at each scrape; every number carries the plugin instance's name."""
    watch = database.watch

    def per_server(
        kind: Literal["counter", "gauge"], name: str, read: Callable[[Server], float], text: str
    ) -> Metric:
        return Metric(
            name=f"postgres.replica.{name}",
            kind=kind,
            read=lambda: [((instance, each.where), read(each)) for each in watch.readers],
            unit="s" if name == "lag" else "",
            labels=("instance", "server"),
            help=text,
        )

    yield per_server("gauge", "usable", watch.usable, "Whether reads may go to it.")
    yield per_server("gauge", "lag", watch.lag, "How far it may be behind the primary.")
    yield per_server("gauge", "reading", lambda each: each.reading, "Reads under way on it.")
    yield per_server("counter", "reads", lambda each: each.reads, "Reads that went to it.")
    yield per_server(
        "counter", "failed", lambda each: each.failed, "Reads that were run elsewhere after it."
    )
    yield from count_metrics("postgres", instance, database, MISSED)
    yield from count_metrics("postgres", instance, watch, FAILOVERS)
