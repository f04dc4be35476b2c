"""The numbers of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from covet_kernel.contracts import Metric
from covet_postgres._database import PostgresDatabase


def metrics(instance: str, database: PostgresDatabase) -> Iterable[Metric]:
    """What is pulled at each scrape; every number carries the plugin instance's name."""
    pool, lane, counts = database.pool, database.lane, database.counts

    def connections() -> Iterable[tuple[tuple[str, ...], float]]:
        yield (instance, "pool", "used"), pool.in_use
        yield (instance, "pool", "idle"), len(pool.idle)
        busy = sum(1 for link in lane.links if link.depth)
        yield (instance, "lane", "used"), busy
        yield (instance, "lane", "idle"), len(lane.links) - busy
        yield (instance, "listen", "used"), database.listening.connected

    def waiting() -> Iterable[tuple[tuple[str, ...], float]]:
        yield (instance, "pool"), pool.waiting
        yield (instance, "lane"), len(lane.waiting)

    yield Metric(
        name="postgres.connections",
        kind="gauge",
        read=connections,
        labels=("instance", "role", "state"),
        help="Open connections.",
    )
    yield Metric(
        name="postgres.waiting",
        kind="gauge",
        read=waiting,
        labels=("instance", "role"),
        help="Calls waiting for a connection.",
    )
    for name, read, text in (
        ("statements", lambda: counts.statements, "Statements and stream chunks run."),
        ("errors", lambda: counts.errors, "Statements the server refused."),
        ("cancelled", lambda: counts.cancelled, "Statements the server was asked to end."),
        ("repeated", lambda: counts.repeated, "Reads run again on a connection of their own."),
        ("discarded", lambda: counts.discarded, "Connections lost or given up."),
    ):
        yield _counter(instance, name, read, text)


def _counter(instance: str, name: str, read: Callable[[], float], text: str) -> Metric:
    return Metric(
        name=f"postgres.{name}",
        kind="counter",
        read=lambda: [((instance,), read())],
        labels=("instance",),
        help=text,
    )
