"""Which database a call is for: what plugins that spread calls over several of them share.

They find a key in the call, and provide an `SqlDatabase` that asks for it at each statement.
"""

from covet_sql.routing._database import RoutedDatabase, only_reads
from covet_sql.routing._key import KeyMark, KeyPlace, KeySource, RoutesCalls
from covet_sql.routing._within import WithinDatabase

__all__ = [
    "KeyMark",
    "KeyPlace",
    "KeySource",
    "RoutedDatabase",
    "RoutesCalls",
    "WithinDatabase",
    "only_reads",
]
