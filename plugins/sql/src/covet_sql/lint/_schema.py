"""What a database says of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from covet_kernel.contracts import SqlDatabase

COLUMNS = {
    "sqlite": """
        SELECT lower(m.name) AS tbl, lower(c.name) AS col, lower(c.type) AS kind,
               c."notnull" OR c.pk > 0 AS never_null, c.pk AS key_part
        FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
        WHERE m.type = 'table' ORDER BY m.name, c.cid
        """,
    "postgresql": """
        SELECT lower(c.relname) AS tbl, lower(a.attname) AS col,
               lower(format_type(a.atttypid, a.atttypmod)) AS kind, a.attnotnull AS never_null,
               COALESCE(array_position(i.indkey::int2[], a.attnum) + 1, 0) AS key_part
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
        WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
          AND pg_table_is_visible(c.oid)
        ORDER BY c.relname, a.attnum
        """,
    "mysql": """
        SELECT lower(table_name) AS tbl, lower(column_name) AS col, lower(column_type) AS kind,
               is_nullable = 'NO' AS never_null, column_key = 'PRI' AS key_part
        FROM information_schema.columns WHERE table_schema = database()
        ORDER BY table_name, ordinal_position
        """,
}
SIZES = {
    "postgresql": """
        SELECT lower(relname) AS tbl, reltuples AS size FROM pg_class
        WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)
        """,
    "mysql": """
        SELECT lower(table_name) AS tbl, table_rows AS size FROM information_schema.tables
        WHERE table_schema = database()
        """,
}
TEXTS = ("char", "text", "clob")


@dataclass(frozen=True)
class Column:
    """A column: its type in the database's words, in lower case, and whether it can be NULL."""

    kind: str
    nullable: bool
    key: bool

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return any(word in self.kind for word in TEXTS)


@dataclass(frozen=True)
class Schema:
    """The tables of a database, names in lower case.

    Attributes:
        tables: Their columns, in order.
        sizes: How many rows they have, about, where the database keeps count.
    """

    tables: Mapping[str, Mapping[str, Column]] = field(default_factory=dict)
    sizes: Mapping[str, float] = field(default_factory=dict)

    def key_of(self, table: str) -> frozenset[str]:
        """The columns of a table's primary key; empty if it has none or is not known."""
        columns = self.tables.get(table.lower(), {})
        return frozenset(name for name, column in columns.items() if column.key)

    def column(self, table: str, name: str) -> Column | None:
        """A column, if it is known."""
        return self.tables.get(table.lower(), {}).get(name.lower())


async def read_schema(database: SqlDatabase) -> Schema:
    """What a database says; nothing for a dialect that is not known here.

    Raises:
        SqlError: It cannot be asked.
    """
    query = COLUMNS.get(database.dialect)
    if query is None:
        return Schema()
    tables: dict[str, dict[str, Column]] = {}
    for row in await database.fetch_all(query):
        tables.setdefault(row["tbl"], {})[row["col"]] = Column(
            row["kind"], nullable=not row["never_null"], key=bool(row["key_part"])
        )
    sizes = SIZES.get(database.dialect)
    if sizes is None:
        return Schema(tables)
    found = await database.fetch_all(sizes)
    return Schema(tables, {row["tbl"]: float(row["size"] or 0) for row in found})
