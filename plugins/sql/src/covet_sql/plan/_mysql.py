"""Plans of MariaDB and MySQL."""

from __future__ import annotations

from covet_kernel.contracts import Params, Row, SqlDatabase, SqlError
from covet_sql.plan._placeholders import Placeholders
from covet_sql.plan._sqlite import duration
from covet_sql.plan._step import Plan, Step


async def explained(database: SqlDatabase, text: Placeholders) -> Plan:
    """The plan of the table that `EXPLAIN` gives, which has no values in it."""
    try:
        return await _of(database, text, text.filled("1"))
    except SqlError:
        # A limit has to be a number, and so does whatever is compared with a time.
        return await _of(database, text, text.filled(1))


async def _of(database: SqlDatabase, text: Placeholders, params: Params) -> Plan:
    # NULL would not do: the server knows that nothing equals it, and looks no further. A text
    # is compared with any column by the column's index, and a number with a text is not.
    rows = await database.fetch_all(f"EXPLAIN {text.text}", params)
    return Plan("mysql", tuple(map(_step, rows)))


async def analyzed(database: SqlDatabase, text: Placeholders, params: Params, writes: bool) -> Plan:
    """The plan for these values, and how long the statement takes."""
    rows = await database.fetch_all(f"EXPLAIN {text.text}", params)
    seconds = await duration(database, text, params, writes)
    return Plan("mysql", tuple(map(_step, rows)), seconds)


def _step(row: Row) -> Step:
    kind, extra = str(row.get("type") or ""), str(row.get("Extra") or "")
    table, key = str(row.get("table") or ""), str(row.get("key") or "")
    rows = row.get("rows")
    parts = [kind or "-", *([f"on {table}"] if table else []), *([f"using {key}"] if key else [])]
    return Step(
        kind=kind,
        line=f"{' '.join(parts)} ({rows or 0} rows expected) {extra}".rstrip(),
        table=table,
        index=key,
        condition="where" if "Using where" in extra else "",
        reads_all=kind.upper() == "ALL",
        sorts="Using filesort" in extra,
        expected=None if rows is None else float(rows),
    )
