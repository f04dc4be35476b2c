"""Plans of PostgreSQL."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from covet_kernel.contracts import Params, SqlDatabase, SqlError, SqlSession
from covet_sql.plan._placeholders import Placeholders
from covet_sql.plan._step import Plan, Step
from covet_sql.plan._undone import undone

NAME = "covet_plan"
BLOCK = 1024
"""Bytes of what `EXPLAIN` counts as one of disk space."""


async def explained(database: SqlDatabase, text: Placeholders) -> Plan:
    """The plan that the server makes for any values, as of a prepared statement."""
    nulls = ", ".join(["NULL"] * text.count)
    call = f"{NAME}({nulls})" if nulls else NAME

    async def ask(session: SqlSession) -> Any:
        await session.execute(f"PREPARE {NAME} AS {text.numbered}")
        try:
            await session.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            return await session.fetch_value(f"EXPLAIN (FORMAT JSON) EXECUTE {call}")
        finally:
            # Where that fails, the transaction has failed; what the connection keeps is reset by
            # whoever lends it, since it was told to prepare something.
            with suppress(SqlError):
                await session.execute(f"DEALLOCATE {NAME}")

    return read(await undone(database, ask))


async def analyzed(database: SqlDatabase, text: Placeholders, params: Params, writes: bool) -> Plan:
    """The plan with what running it has shown."""
    asked = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text.text}"
    return read(
        await undone(database, lambda session: session.fetch_value(asked, params), writes=writes)
    )


def read(found: Any) -> Plan:
    """The plan that `EXPLAIN (FORMAT JSON)` gave."""
    (top,) = json.loads(found) if isinstance(found, str | bytes) else found
    milliseconds = top.get("Execution Time")
    return Plan(
        "postgresql",
        (_step(top["Plan"]),),
        None if milliseconds is None else milliseconds / 1000,
    )


def _step(node: dict[str, Any]) -> Step:
    kind = node["Node Type"]
    loops = node.get("Actual Loops", 1)
    rows = node.get("Actual Rows")
    # Parallel workers each run a step, and its numbers are an average of theirs.
    removed = loops * (
        node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    )
    condition = node.get("Filter") or node.get("Join Filter") or ""
    return Step(
        kind=kind,
        line=_line(node, condition, removed),
        table=node.get("Relation Name", ""),
        index=node.get("Index Name", ""),
        condition=condition,
        reads_all=kind == "Seq Scan",
        sorts=kind in ("Sort", "Incremental Sort"),
        spilled=BLOCK * node.get("Sort Space Used", 0)
        if node.get("Sort Space Type") == "Disk"
        else 0,
        expected=node.get("Plan Rows"),
        rows=None if rows is None else rows * loops,
        removed=removed,
        loops=loops,
        blocks=node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0),
        steps=tuple(_step(each) for each in node.get("Plans", ())),
    )


def _line(node: dict[str, Any], condition: str, removed: float) -> str:
    parts = [node["Node Type"]]
    if "Index Name" in node:
        parts.append(f"using {node['Index Name']}")
    if "Relation Name" in node:
        parts.append(f"on {node['Relation Name']}")
    known = node.get("Index Cond") or node.get("Hash Cond") or node.get("Merge Cond")
    if known:
        parts.append(f"by {known}")
    if "Sort Key" in node:
        parts.append(f"by {', '.join(node['Sort Key'])}")
    if condition:
        parts.append(f"where {condition}")
    numbers = [f"{node.get('Plan Rows', 0)} rows expected"]
    if "Actual Rows" in node:
        numbers.append(f"{node['Actual Rows']:g} given, {node['Actual Loops']:g} times")
    if removed:
        numbers.append(f"{removed:g} thrown away")
    if node.get("Sort Space Type") == "Disk":
        numbers.append(f"{node['Sort Space Used']} KiB on disk")
    return f"{' '.join(parts)} ({', '.join(numbers)})"
