"""What tables have in common that are worked off by many processes: the database's clock, waits between
attempts, why one failed, waking up, and tables that are there.
"""

from covet_sql.queue._backoff import backoff
from covet_sql.queue._clock import milliseconds
from covet_sql.queue._doorbell import Doorbell, Looks
from covet_sql.queue._reason import reason_of
from covet_sql.queue._tables import create, statements_of
from covet_sql.queue._upkeep import Upkeep

__all__ = [
    "Doorbell",
    "Looks",
    "Upkeep",
    "backoff",
    "create",
    "milliseconds",
    "reason_of",
    "statements_of",
]
