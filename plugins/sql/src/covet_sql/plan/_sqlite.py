"""Plans of SQLite."""

from __future__ import annotations

import re
from time import perf_counter
from typing import Any

from covet_kernel.contracts import Params, Row, SqlDatabase, SqlError, SqlSession
from covet_sql.plan._placeholders import Placeholders
from covet_sql.plan._step import Plan, Step
from covet_sql.plan._undone import undone

SCAN = re.compile(r"(?P<kind>SCAN|SEARCH) (?:TABLE )?(?P<table>\S+)(?: AS (?P<alias>\S+))?")
INDEX = re.compile(r"USING (?:AUTOMATIC )?(?:PARTIAL )?(?:COVERING )?INDEX (?P<index>\S+)")
KEY = re.compile(r"USING INTEGER PRIMARY KEY|USING PRIMARY KEY")
READ_ONLY = "25006"
NO_TABLES = frozenset(["CONSTANT", "SUBQUERY"])


async def explained(database: SqlDatabase, text: Placeholders) -> Plan:
    """The plan; values make no difference to it."""

    async def ask(session: SqlSession) -> list[Row]:
        # A plan does not look whether the schema has changed, and a read does.
        await session.fetch_value("SELECT 1 FROM sqlite_schema LIMIT 1")
        return await session.fetch_all(f"EXPLAIN QUERY PLAN {text.text}", text.filled(None))

    try:
        rows = await undone(database, ask)
    except SqlError as error:
        if error.sqlstate != READ_ONLY:
            raise
        # To ask for the plan of what writes counts as writing.
        rows = await undone(database, ask, writes=True)
    return Plan("sqlite", read(rows))


async def analyzed(database: SqlDatabase, text: Placeholders, params: Params, writes: bool) -> Plan:
    """The plan, and how long the statement takes."""
    plan = await explained(database, text)
    return Plan("sqlite", plan.steps, await duration(database, text, params, writes))


async def duration(
    database: SqlDatabase, text: Placeholders, params: Params, writes: bool
) -> float:
    """Seconds that a statement takes, which is undone."""

    async def run(session: SqlSession) -> float:
        begun = perf_counter()
        await session.fetch_all(text.text, params)
        return perf_counter() - begun

    return await undone(database, run, writes=writes)


def read(rows: list[Row]) -> tuple[Step, ...]:
    """The steps that `EXPLAIN QUERY PLAN` gave."""
    below: dict[Any, list[Row]] = {}
    for row in rows:
        below.setdefault(row["parent"], []).append(row)

    def steps(parent: Any) -> tuple[Step, ...]:
        return tuple(_step(row["detail"], steps(row["id"])) for row in below.get(parent, ()))

    return steps(0)


def _step(line: str, steps: tuple[Step, ...]) -> Step:
    scan, index = SCAN.match(line), INDEX.search(line)
    table = scan["table"] if scan and scan["table"] not in NO_TABLES else ""
    return Step(
        kind=line.split(" ", 1)[0] if scan else line,
        line=line,
        table=table,
        index=index["index"] if index else "PRIMARY KEY" if KEY.search(line) else "",
        reads_all=bool(table) and scan is not None and scan["kind"] == "SCAN" and index is None,
        sorts=line.startswith("USE TEMP B-TREE FOR ") and "ORDER BY" in line,
        steps=steps,
    )
