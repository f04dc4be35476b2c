"""What of a database's schema decides how far a write reaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from covet_kernel.contracts import Row, SqlDatabase
from covet_sql.cache._tables import ANY

_SQLITE_TABLES = """
SELECT lower(tbl_name) AS name,
       max(type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%') AS plain,
       max(type IN ('trigger', 'view')) AS opaque
FROM sqlite_schema WHERE type IN ('table', 'view', 'trigger') GROUP BY lower(tbl_name)
"""
_SQLITE_KEYS = """
SELECT DISTINCT lower(f."table") AS parent, lower(m.name) AS child
FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f
WHERE m.type = 'table'
  AND (f.on_delete NOT IN ('NO ACTION', 'RESTRICT') OR f.on_update NOT IN ('NO ACTION', 'RESTRICT'))
"""
_POSTGRES_TABLES = """
SELECT lower(c.relname) AS name,
       bool_and(c.relkind = 'r') AS plain,
       bool_or(
           c.relkind <> 'r' OR c.relispartition OR c.relhasrules OR c.relhassubclass
           OR EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
           OR EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)
       ) AS opaque
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
GROUP BY lower(c.relname)
"""
_POSTGRES_KEYS = """
SELECT DISTINCT lower(p.relname) AS parent, lower(c.relname) AS child
FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
"""
_MYSQL_TABLES = """
SELECT lower(t.table_name) AS name,
       min(t.table_type = 'BASE TABLE') AS plain,
       max(t.table_type <> 'BASE TABLE' OR EXISTS (
           SELECT 1 FROM information_schema.triggers g
           WHERE g.event_object_schema = t.table_schema AND g.event_object_table = t.table_name
       )) AS opaque
FROM information_schema.tables t
WHERE t.table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
GROUP BY lower(t.table_name)
"""
_MYSQL_KEYS = """
SELECT DISTINCT lower(referenced_table_name) AS parent, lower(table_name) AS child
FROM information_schema.referential_constraints
WHERE delete_rule NOT IN ('NO ACTION', 'RESTRICT') OR update_rule NOT IN ('NO ACTION', 'RESTRICT')
"""
QUERIES = {
    "sqlite": (_SQLITE_TABLES, _SQLITE_KEYS),
    "postgresql": (_POSTGRES_TABLES, _POSTGRES_KEYS),
    "mysql": (_MYSQL_TABLES, _MYSQL_KEYS),
}


@dataclass(frozen=True)
class Catalogue:
    """The tables of a database; those of one name in several schemas are taken for one.

    Attributes:
        plain: Tables whose rows are their own: no view, no partition, no virtual table.
        opaque: What a write to reaches others by ways that are not known here: views, tables with
            triggers or rules, partitions.
        cascades: Tables that a write to another one changes, by foreign keys.
    """

    plain: frozenset[str] = frozenset()
    opaque: frozenset[str] = frozenset()
    cascades: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def read_from(self, tables: frozenset[str]) -> frozenset[str]:
        """What a result of these tables depends on; `ANY` if that is not sure."""
        return tables if tables <= self.plain else frozenset([ANY])

    def changed_with(self, tables: Iterable[str]) -> frozenset[str]:
        """What a write to these tables may change; `ANY` if that is not sure."""
        found: set[str] = set()
        waiting = list(tables)
        while waiting:
            table = waiting.pop()
            if table not in self.plain or table in self.opaque:
                return frozenset([ANY])
            if table not in found:
                found.add(table)
                waiting += self.cascades.get(table, ())
        return frozenset(found)


async def read_catalogue(database: SqlDatabase) -> Catalogue:
    """The catalogue of a database, an empty one for dialects whose is not known here.

    Raises:
        SqlError: It cannot be read.
    """
    queries = QUERIES.get(database.dialect)
    if queries is None:
        return Catalogue()
    tables, keys = [await database.fetch_all(query) for query in queries]
    return catalogue_of(tables, keys)


def catalogue_of(tables: Iterable[Row], keys: Iterable[Row]) -> Catalogue:
    """The catalogue that those rows say."""
    cascades: dict[str, set[str]] = {}
    for row in keys:
        cascades.setdefault(row["parent"], set()).add(row["child"])
    rows = list(tables)
    opaque = frozenset(row["name"] for row in rows if row["opaque"])
    return Catalogue(
        # A trigger makes writes opaque, not reads.
        frozenset(row["name"] for row in rows if row["plain"]),
        opaque,
        {parent: frozenset(children) for parent, children in cascades.items()},
    )
