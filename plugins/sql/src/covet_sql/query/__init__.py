"""Queries as expressions: ``from covet_sql import query as q``.

Importing it loads SQLAlchemy, which compiles statements here and never connects.
"""

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401 - said here, not somewhere below
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "covet_sql.query needs SQLAlchemy: pip install 'covet-sql[query]'", name=error.name
    ) from error

from sqlalchemy import (
    CheckConstraint,
    Index,
    MetaData,
    UniqueConstraint,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    not_,
    null,
    or_,
    text,
    tuple_,
    union,
    union_all,
)

from covet_sql._column import Column
from covet_sql.query._build import (
    Select,
    count,
    delete,
    incoming,
    insert,
    param,
    select,
    update,
    upsert,
)
from covet_sql.query._elements import EVERY_ROW
from covet_sql.query._page import Selection, filtered, page
from covet_sql.query._run import (
    Prepared,
    Statement,
    execute,
    execute_many,
    fetch_all,
    fetch_one,
    fetch_value,
    insert_many,
    prepare,
    stream,
)
from covet_sql.query._table import Table, ddl, table
from covet_sql.query._types import Choice, Duration, Exact, Moment

__all__ = [
    "EVERY_ROW",
    "CheckConstraint",
    "Choice",
    "Column",
    "Duration",
    "Exact",
    "Index",
    "MetaData",
    "Moment",
    "Prepared",
    "Select",
    "Selection",
    "Statement",
    "Table",
    "UniqueConstraint",
    "and_",
    "case",
    "cast",
    "count",
    "ddl",
    "delete",
    "execute",
    "execute_many",
    "exists",
    "fetch_all",
    "fetch_one",
    "fetch_value",
    "filtered",
    "func",
    "incoming",
    "insert",
    "insert_many",
    "literal",
    "not_",
    "null",
    "or_",
    "page",
    "param",
    "prepare",
    "select",
    "stream",
    "table",
    "text",
    "tuple_",
    "union",
    "union_all",
    "update",
    "upsert",
]
