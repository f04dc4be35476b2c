"""The numbers of a database."""

from __future__ import annotations

from collections.abc import Iterable

from covet_kernel.contracts import Metric
from covet_postgres._database import PostgresDatabase
from covet_sql.profile import ObservedDatabase, count_metrics, pool_metrics, profile_metrics

COUNTS = {
    "statements": "Statements and stream chunks run.",
    "errors": "Statements the server refused.",
    "cancelled": "Statements the server was asked to end.",
    "repeated": "Reads run again on a connection of their own.",
    "discarded": "Connections lost or given up.",
}


def metrics(
    instance: str, database: PostgresDatabase, observed: ObservedDatabase
) -> Iterable[Metric]:
    """What is pulled at each scrape; every number carries the plugin instance's name."""
    pool, lane = database.pool, database.lane

    def shared() -> tuple[int, int]:
        busy = sum(1 for link in lane.links if link.depth)
        return busy, len(lane.links) - busy

    def listening() -> tuple[int, int]:
        return database.listening.connected, 0

    yield from pool_metrics(
        "postgres",
        instance,
        {"pool": lambda: (pool.in_use, len(pool.idle)), "lane": shared, "listen": listening},
        {"pool": lambda: pool.waiting, "lane": lambda: len(lane.waiting)},
    )
    yield from count_metrics("postgres", instance, database.counts, COUNTS)
    yield from profile_metrics(instance, observed)
