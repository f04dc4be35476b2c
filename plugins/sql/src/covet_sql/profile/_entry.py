"""What is known of the statements of one shape."""

from __future__ import annotations

from typing import Any

from covet_sql.profile._histogram import Histogram


class Entry:
    """The numbers of one shape.

    Attributes:
        shape: The text without literals and parameters.
        count: How often it ran, failures included.
        rows: Rows fetched, or changed.
        errors: How often the database refused, or the driver.
        cancelled: How often the caller was cancelled meanwhile.
        seconds: How long they took in all, waiting for a connection included.
        waited: How much of it was waiting for a connection.
        waits: How often one had to be waited for, or opened.
        slowest: The longest took that many seconds.
        latency: How long they took, by magnitude.
        counts: Its buckets, for who adds to them very often.
        reported: When a slow one was last written to the log, by the monotonic clock.
        plan: What the database last said of how it runs them, a line each; empty if nobody asked.
    """

    __slots__ = (
        "cancelled",
        "count",
        "counts",
        "errors",
        "latency",
        "plan",
        "reported",
        "rows",
        "seconds",
        "shape",
        "slowest",
        "waited",
        "waits",
    )

    def __init__(self, shape: str) -> None:
        self.shape = shape
        self.count = self.rows = self.errors = self.cancelled = self.waits = 0
        self.seconds = self.waited = self.slowest = 0.0
        self.latency = Histogram()
        self.counts = self.latency.counts
        self.reported = float("-inf")
        self.plan: tuple[str, ...] = ()

    def merge(self, other: Entry) -> None:
        """Add another's numbers."""
        for name in ("count", "rows", "errors", "cancelled", "waits", "seconds", "waited"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest = max(self.slowest, other.slowest)
        self.latency.merge(other.latency)

    def report(self) -> dict[str, Any]:
        """Everything as plain data; times in seconds."""
        found: dict[str, Any] = {
            "shape": self.shape,
            "count": self.count,
            "rows": self.rows,
            "errors": self.errors,
            "cancelled": self.cancelled,
            "seconds": self.seconds,
            "slowest": self.slowest,
            "p50": min(self.latency.percentile(0.5), self.slowest),
            "p95": min(self.latency.percentile(0.95), self.slowest),
            "p99": min(self.latency.percentile(0.99), self.slowest),
            "waits": self.waits,
            "waited": self.waited,
        }
        if self.plan:
            found["plan"] = list(self.plan)
        return found
