"""The numbers of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from covet_kernel.contracts import Metric
from covet_sql.driver import Pool
from covet_sql.profile import (
    ObservedDatabase,
    count_metrics,
    pool_metrics,
    profile_metrics,
    single_metric,
)
from covet_sqlite._database import SqliteDatabase

COUNTS = {
    "statements": "Statements and stream chunks run.",
    "errors": "Statements the database refused.",
    "discarded": "Connections given up in the middle of something.",
}


def pools_of(database: SqliteDatabase) -> dict[str, Pool[Any]]:
    """Its pools by what their connections are for; in memory there is one for everything."""
    pools: dict[str, Pool[Any]] = {"writer": database.writer}
    if database.readers is not database.writer:
        pools["reader"] = database.readers
    return pools


def metrics(
    instance: str, database: SqliteDatabase, observed: ObservedDatabase
) -> Iterable[Metric]:
    """What is pulled at each scrape; every number carries the plugin instance's name."""
    pools = pools_of(database)
    yield from pool_metrics(
        "sqlite",
        instance,
        {role: _open(pool) for role, pool in pools.items()},
        {role: _waiting(pool) for role, pool in pools.items()},
    )
    yield from count_metrics("sqlite", instance, database.counts, COUNTS)
    yield single_metric(
        "sqlite.inline",
        instance,
        lambda: database.points.done,
        "Statements run on the event loop itself.",
    )
    yield from profile_metrics(instance, observed)


def _open(pool: Pool[Any]) -> Callable[[], tuple[int, int]]:
    return lambda: (pool.in_use, len(pool.idle))


def _waiting(pool: Pool[Any]) -> Callable[[], int]:
    return lambda: pool.waiting
