"""What SQL drivers share: who gets a connection, what a text's parameters are, and what went wrong."""

from covet_sql.driver._errors import error_of
from covet_sql.driver._pool import Lease, Pool, Pooled
from covet_sql.driver._statement import Statement, Statements
from covet_sql.driver._transactions import check_isolation

__all__ = [
    "Lease",
    "Pool",
    "Pooled",
    "Statement",
    "Statements",
    "check_isolation",
    "error_of",
]
