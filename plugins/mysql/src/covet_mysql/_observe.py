"""The numbers of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from covet_kernel.contracts import Metric
from covet_mysql._database import MysqlDatabase


def metrics(instance: str, database: MysqlDatabase) -> Iterable[Metric]:
    """What is pulled at each scrape; every number carries the plugin instance's name."""
    pool, counts = database.pool, database.counts

    def connections() -> Iterable[tuple[tuple[str, ...], float]]:
        yield (instance, "used"), pool.in_use
        yield (instance, "idle"), len(pool.idle)

    yield Metric(
        name="mysql.connections",
        kind="gauge",
        read=connections,
        labels=("instance", "state"),
        help="Open connections.",
    )
    yield Metric(
        name="mysql.waiting",
        kind="gauge",
        read=lambda: [((instance,), pool.waiting)],
        labels=("instance",),
        help="Calls waiting for a connection.",
    )
    for name, read, text in (
        ("statements", lambda: counts.statements, "Statements and stream chunks run."),
        ("errors", lambda: counts.errors, "Statements the server refused."),
        ("cancelled", lambda: counts.cancelled, "Statements the server was asked to end."),
        ("discarded", lambda: counts.discarded, "Connections lost or given up."),
    ):
        yield _counter(instance, name, read, text)


def _counter(instance: str, name: str, read: Callable[[], float], text: str) -> Metric:
    return Metric(
        name=f"mysql.{name}",
        kind="counter",
        read=lambda: [((instance,), read())],
        labels=("instance",),
        help=text,
    )
