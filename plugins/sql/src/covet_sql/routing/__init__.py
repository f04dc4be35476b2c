"""Which database a call is for: what plugins that spread calls over several of them share.

They find a key in the call, and provide an `SqlDatabase` that asks for it at each statement.
"""

from covet_sql.routing._database import RoutedDatabase, only_reads
from covet_sql.routing._key import KeyMark, KeySource, RoutesCalls

__all__ = ["KeyMark", "KeySource", "RoutedDatabase", "RoutesCalls", "only_reads"]
