"""What statements cost: counted by their shape, with what is slow, and who asks for it."""

from covet_sql.profile._database import ObservedDatabase, ObservedSession
from covet_sql.profile._entry import Entry
from covet_sql.profile._histogram import Histogram
from covet_sql.profile._issuer import issued_by
from covet_sql.profile._metrics import (
    count_metrics,
    pool_metrics,
    profile_metrics,
    single_metric,
)
from covet_sql.profile._observe import configure, observe, report_of
from covet_sql.profile._profile import Profile
from covet_sql.profile._recording import NamesCalls, Recording
from covet_sql.profile._report import read_report, write_report
from covet_sql.profile._shape import normalised
from covet_sql.profile._slow import Plans, SlowLog

__all__ = [
    "Entry",
    "Histogram",
    "NamesCalls",
    "ObservedDatabase",
    "ObservedSession",
    "Plans",
    "Profile",
    "Recording",
    "SlowLog",
    "configure",
    "count_metrics",
    "issued_by",
    "normalised",
    "observe",
    "pool_metrics",
    "profile_metrics",
    "read_report",
    "report_of",
    "single_metric",
    "write_report",
]
