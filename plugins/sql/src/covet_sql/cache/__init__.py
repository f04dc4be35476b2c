"""Results of queries, kept until a table they were read from is written to."""

try:
    import sqlglot as _sqlglot  # noqa: F401 - said here, not somewhere below
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "covet_sql.cache needs sqlglot: pip install 'covet-sql[insight]'", name=error.name
    ) from error

from covet_sql.cache._cached import Cached, cached, invalidate
from covet_sql.cache._share import share
from covet_sql.cache._store import QueryCache
from covet_sql.cache._tables import ANY, Touched, touched

__all__ = ["ANY", "Cached", "QueryCache", "Touched", "cached", "invalidate", "share", "touched"]
