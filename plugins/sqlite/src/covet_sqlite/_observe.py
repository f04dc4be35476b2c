"""The numbers of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from covet_kernel.contracts import Metric
from covet_sqlite._database import SqliteDatabase


def metrics(instance: str, database: SqliteDatabase) -> Iterable[Metric]:
    """What is pulled at each scrape; every number carries the plugin instance's name."""
    pools = {"writer": database.writer}
    if database.readers is not database.writer:
        pools["reader"] = database.readers

    def connections() -> Iterable[tuple[tuple[str, ...], float]]:
        for role, pool in pools.items():
            yield (instance, role, "used"), pool.in_use
            yield (instance, role, "idle"), len(pool.idle)

    def waiting() -> Iterable[tuple[tuple[str, ...], float]]:
        for role, pool in pools.items():
            yield (instance, role), pool.waiting

    yield Metric(
        name="sqlite.connections",
        kind="gauge",
        read=connections,
        labels=("instance", "role", "state"),
        help="Open connections.",
    )
    yield Metric(
        name="sqlite.waiting",
        kind="gauge",
        read=waiting,
        labels=("instance", "role"),
        help="Calls waiting for a connection.",
    )
    counts = database.counts
    for name, read, text in (
        ("statements", lambda: counts.statements, "Statements and stream chunks run."),
        ("inline", lambda: database.points.done, "Statements run on the event loop itself."),
        ("errors", lambda: counts.errors, "Statements the database refused."),
        ("discarded", lambda: counts.discarded, "Connections given up in the middle of something."),
    ):
        yield _counter(instance, name, read, text)


def _counter(instance: str, name: str, read: Callable[[], float], text: str) -> Metric:
    return Metric(
        name=f"sqlite.{name}",
        kind="counter",
        read=lambda: [((instance,), read())],
        labels=("instance",),
        help=text,
    )
