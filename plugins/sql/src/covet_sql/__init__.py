"""The SQL toolkit: what is the same for every database behind the `SqlDatabase` contract.

`covet_sql.query` builds and runs queries; it loads SQLAlchemy, which nothing here does.
"""

from covet_sql._column import Column
from covet_sql._config import SqlConfig
from covet_sql._plugin import Sql
from covet_sql._secret import Secret, SecretUrl
from covet_sql._transaction import run_again, run_transaction
from covet_sql._uuid7 import Uuid7Generator, uuid7

__all__ = [
    "Column",
    "Secret",
    "SecretUrl",
    "Sql",
    "SqlConfig",
    "Uuid7Generator",
    "run_again",
    "run_transaction",
    "uuid7",
]
