"""The time as the database knows it, which is the same for every process."""

from __future__ import annotations

_MILLISECONDS = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    # In UTC: of the hour that a summer's end repeats, local time would be ambiguous.
    "mysql": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}


def milliseconds(dialect: str) -> str:
    """An expression for the milliseconds since 1970, by the clock of the database."""
    return _MILLISECONDS[dialect]
