"""What SQL drivers share: who gets a connection, what a text's parameters are, and what went wrong."""

from covet_sql.driver._blocking import BlockingDatabase, OpensBlocking
from covet_sql.driver._errors import error_of
from covet_sql.driver._pool import Lease, Pool, Pooled
from covet_sql.driver._statement import Statement, Statements, parts_of
from covet_sql.driver._transactions import Isolation, SavepointSession, TransactionalDatabase

__all__ = [
    "BlockingDatabase",
    "Isolation",
    "Lease",
    "OpensBlocking",
    "Pool",
    "Pooled",
    "SavepointSession",
    "Statement",
    "Statements",
    "TransactionalDatabase",
    "error_of",
    "parts_of",
]
