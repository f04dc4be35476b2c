"""Noting down which rows are changed on a shard while some of its buckets are moved: by triggers.

Whatever changes a row, by whichever client, the note is in the same transaction. A note says which row,
and not what has become of it: that is read when the note is, so their order does not matter and each
may be looked at twice. Each move has triggers and notes of its own, and leaves others' alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import anyio

from covet_kernel.contracts import SqlDatabase, SqlError
from covet_sharding._primary import on_primary
from covet_sharding._rows import Rows, literal, quoted

PATIENCE = 2.0
"""Seconds to wait for a table that is in use: everybody else waits behind whoever waits for it."""
TRIES = 30


class Change(NamedTuple):
    """A note: a row of a table, by its primary key as text and its shard key as text."""

    id: int
    table: str
    place: str
    key: str


def _name(rows: Rows, job: str) -> str:
    return f"covet_shard_{sha256(f'{job} {rows.table.name}'.encode()).hexdigest()[:16]}"


def _statements(rows: Rows, dialect: str, job: str) -> Iterator[str]:
    """What makes a table's triggers, any number of times."""
    table, name = rows.table, _name(rows, job)

    def values(row: str) -> str:
        places = ", ".join(f"{row}.{quoted(each)}" for each in table.primary_key)
        key = f"{row}.{quoted(table.key)}"
        match dialect:
            case "postgresql":
                place, key = f"CAST(jsonb_build_array({places}) AS text)", f"CAST({key} AS text)"
            case "mysql":
                place, key = f"JSON_ARRAY({places})", f"CAST({key} AS CHAR)"
            case _:
                place, key = f"json_array({places})", f"CAST({key} AS TEXT)"
        return f"({literal(job)}, {literal(table.name)}, {place}, coalesce({key}, ''))"

    note = "INSERT INTO covet_shard_change (job, tab, place, shard_key) VALUES"
    if dialect == "postgresql":
        yield (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $note$ BEGIN"
            f" IF TG_OP <> 'INSERT' THEN {note} {values('OLD')}; END IF;"
            f" IF TG_OP <> 'DELETE' THEN {note} {values('NEW')}; END IF;"
            " RETURN NULL; END $note$"
        )
        yield (
            f"CREATE OR REPLACE FUNCTION {name}_all() RETURNS trigger LANGUAGE plpgsql AS $note$ BEGIN"
            " RAISE 'buckets of this shard are being moved: delete rows instead'; END $note$"
        )
        yield (
            f"CREATE OR REPLACE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {rows.name}"
            f" FOR EACH ROW EXECUTE FUNCTION {name}()"
        )
        yield (
            f"CREATE OR REPLACE TRIGGER {name}_all BEFORE TRUNCATE ON {rows.name}"
            f" EXECUTE FUNCTION {name}_all()"
        )
        return
    for event, row in (
        ("INSERT", values("NEW")),
        ("UPDATE", f"{values('OLD')}, {values('NEW')}"),
        ("DELETE", values("OLD")),
    ):
        named = f"{name}_{event.lower()} AFTER {event} ON {rows.name} FOR EACH ROW"
        if dialect == "mysql":
            yield f"CREATE OR REPLACE TRIGGER {named} {note} {row}"
        else:
            yield f"CREATE TRIGGER IF NOT EXISTS {named} BEGIN {note} {row}; END"


def _removals(rows: Rows, dialect: str, job: str) -> Iterator[str]:
    name = _name(rows, job)
    if dialect == "postgresql":
        yield f"DROP TRIGGER IF EXISTS {name} ON {rows.name}"
        yield f"DROP TRIGGER IF EXISTS {name}_all ON {rows.name}"
        yield f"DROP FUNCTION IF EXISTS {name}()"
        yield f"DROP FUNCTION IF EXISTS {name}_all()"
        return
    for event in ("insert", "update", "delete"):
        yield f"DROP TRIGGER IF EXISTS {name}_{event}"


async def begin_capture(database: SqlDatabase, tables: Sequence[Rows], job: str) -> None:
    """Have every change noted down that is not committed yet, and every later one.

    Making a trigger waits for the transactions that have changed the table.
    """
    for rows in tables:
        for statement in _statements(rows, database.dialect, job):
            await _patiently(database, statement)


async def end_capture(database: SqlDatabase, tables: Sequence[Rows], job: str) -> None:
    """Note down nothing any more, and forget what was."""
    for rows in tables:
        for statement in _removals(rows, database.dialect, job):
            await _patiently(database, statement)
    await database.execute("DELETE FROM covet_shard_change WHERE job = ?", (job,))


async def _patiently(database: SqlDatabase, statement: str) -> None:
    for left in reversed(range(TRIES)):
        try:
            with anyio.fail_after(PATIENCE):
                await database.execute(statement)
        except (TimeoutError, SqlError) as error:
            if not left or (isinstance(error, SqlError) and error.sqlstate.startswith("42")):
                raise
            await anyio.sleep(PATIENCE / 10)
        else:
            return


async def changes(
    database: SqlDatabase, job: str, limit: int, last: int | None = None
) -> list[Change]:
    """A move's oldest notes, up to the one with the number ``last`` if it is given."""
    until = "" if last is None else f" AND id <= {last:d}"
    async with on_primary(database) as session:
        rows = await session.fetch_all(
            f"SELECT id, tab, place, shard_key FROM covet_shard_change WHERE job = ?{until}"  # noqa: S608
            f" ORDER BY id LIMIT {limit:d}",
            (job,),
        )
    return [Change(row["id"], row["tab"], row["place"], row["shard_key"]) for row in rows]


async def newest(database: SqlDatabase, job: str) -> int:
    """The number of a move's newest note, 0 if there is none."""
    async with on_primary(database) as session:
        text = "SELECT max(id) FROM covet_shard_change WHERE job = ?"
        return int(await session.fetch_value(text, (job,)) or 0)


async def forget(database: SqlDatabase, noted: Sequence[Change]) -> None:
    """These have been seen to."""
    await database.execute_many(
        "DELETE FROM covet_shard_change WHERE id = ?", [(each.id,) for each in noted]
    )
