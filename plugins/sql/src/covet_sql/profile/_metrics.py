"""What every database lets be scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from covet_kernel.contracts import Metric
from covet_sql.profile._database import ObservedDatabase
from covet_sql.profile._profile import Profile

Sample = tuple[tuple[str, ...], float]

CACHE = {
    "hits": "Queries answered from a kept result.",
    "joined": "Queries that waited for the same one that was under way.",
    "misses": "Queries that might have been answered so, and ran.",
    "bypassed": "Queries that ran because their caller has to see what it has written.",
    "invalidated": "Results dropped by a write.",
    "evicted": "Results dropped to make room.",
}


def single_metric(
    name: str,
    instance: str,
    read: Callable[[], float],
    text: str,
    *,
    kind: Literal["counter", "gauge"] = "counter",
    unit: str = "",
) -> Metric:
    """A metric of one number, labelled with the plugin instance's name."""
    return Metric(
        name=name,
        kind=kind,
        read=lambda: [((instance,), read())],
        unit=unit,
        labels=("instance",),
        help=text,
    )


def pool_metrics(
    system: str,
    instance: str,
    connections: Mapping[str, Callable[[], tuple[int, int]]],
    waiting: Mapping[str, Callable[[], int]],
) -> Iterable[Metric]:
    """The connections of a database and who waits for one.

    Args:
        system: The plugin's id, which the metrics' names begin with.
        instance: The name of the plugin's instance.
        connections: Used and idle ones, by what they are for.
        waiting: How many calls wait for one, by the same.
    """

    def open_ones() -> Iterable[Sample]:
        for role, count in connections.items():
            used, idle = count()
            yield (instance, role, "used"), used
            yield (instance, role, "idle"), idle

    yield Metric(
        name=f"{system}.connections",
        kind="gauge",
        read=open_ones,
        labels=("instance", "role", "state"),
        help="Open connections.",
    )
    yield Metric(
        name=f"{system}.waiting",
        kind="gauge",
        read=lambda: [((instance, role), count()) for role, count in waiting.items()],
        labels=("instance", "role"),
        help="Calls waiting for a connection.",
    )


def count_metrics(
    system: str, instance: str, counts: object, texts: Mapping[str, str]
) -> Iterable[Metric]:
    """A driver's own counters.

    Args:
        system: The plugin's id, which the metrics' names begin with.
        instance: The name of the plugin's instance.
        counts: Has them as attributes.
        texts: What each of them is, by the attribute's name.
    """
    for name, text in texts.items():
        yield single_metric(f"{system}.{name}", instance, _reading(counts, name), text)


def _reading(counts: Any, name: str) -> Callable[[], float]:
    return lambda: float(getattr(counts, name))


def profile_metrics(instance: str, database: ObservedDatabase) -> Iterable[Metric]:
    """What the profile of a database has, over all shapes of statements."""
    profile: Profile = database.profile

    def latency() -> Iterable[Sample]:
        return [((instance, le), below) for le, below in profile.latency().octaves()]

    yield Metric(
        name="sql.duration",
        kind="histogram",
        read=latency,
        unit="s",
        labels=("instance", "le"),
        help="How long statements took, waiting for a connection included; cumulative.",
    )
    for name, attribute, unit, text in (
        ("sql.seconds", "seconds", "s", "How long all statements took together."),
        ("sql.rows", "rows", "", "Rows fetched or changed."),
        ("sql.waits", "waits", "", "Statements that waited for a connection."),
        ("sql.waited", "waited", "s", "How long they did."),
    ):
        yield single_metric(name, instance, _summing(profile, attribute), text, unit=unit)
    yield single_metric(
        "sql.shapes",
        instance,
        lambda: len(profile.entries),
        "Shapes of statements that are told apart.",
        kind="gauge",
    )

    for name, text in CACHE.items():
        yield single_metric(f"sql.cache.{name}", instance, _of_cache(database, name), text)
    yield single_metric(
        "sql.cache.entries",
        instance,
        lambda: 0 if database.cache is None else len(database.cache),
        "Results that are kept.",
        kind="gauge",
    )
    yield single_metric(
        "sql.cache.size",
        instance,
        lambda: 0 if database.cache is None else database.cache.size,
        "What they take, about.",
        kind="gauge",
        unit="By",
    )


def _of_cache(database: ObservedDatabase, name: str) -> Callable[[], float]:
    return lambda: 0 if database.cache is None else getattr(database.cache, name)


def _summing(profile: Profile, attribute: str) -> Callable[[], float]:
    return lambda: profile.total(attribute)
