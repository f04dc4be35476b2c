"""The numbers of a database."""

from __future__ import annotations

from collections.abc import Iterable

from covet_kernel.contracts import Metric
from covet_mysql._database import MysqlDatabase
from covet_sql.profile import ObservedDatabase, count_metrics, pool_metrics, profile_metrics

COUNTS = {
    "statements": "Statements and stream chunks run.",
    "errors": "Statements the server refused.",
    "cancelled": "Statements the server was asked to end.",
    "discarded": "Connections lost or given up.",
}


def metrics(instance: str, database: MysqlDatabase, observed: ObservedDatabase) -> Iterable[Metric]:
    """What is pulled at each scrape; every number carries the plugin instance's name."""
    pool = database.pool
    yield from pool_metrics(
        "mysql",
        instance,
        {"pool": lambda: (pool.in_use, len(pool.idle))},
        {"pool": lambda: pool.waiting},
    )
    yield from count_metrics("mysql", instance, database.counts, COUNTS)
    yield from profile_metrics(instance, observed)
