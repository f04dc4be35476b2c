"""What the words of ``covet sagas`` do."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Any

from covet_kernel import Assembly, ConfigurationError
from covet_kernel.contracts import SqlDatabase
from covet_sagas._config import SagasConfig
from covet_sagas._statements import NAMES, PARKED, note, resume
from covet_sagas._tables import make_ready, schema
from covet_sql.command import on_database
from covet_sql.queue import milliseconds


def run(config: SagasConfig, args: Namespace, assembly: Assembly) -> int:
    """Do what ``args.word`` says; the exit code.

    Raises:
        CovetError: It cannot be done.
    """

    async def work(db: SqlDatabase) -> int:
        if args.word == "schema":
            return _schema(args.dialect or db.dialect)
        await make_ready(db, make=False)
        words = {"list": _list, "show": _show, "retry": _retry}
        return await words[args.word](args, db)

    if args.word == "schema" and args.dialect:
        return _schema(args.dialect)
    if args.word == "retry" and not args.ids and not args.all:
        raise _which("which sagas to retry is not said.", "Name their ids, or say --all.")
    return on_database(assembly, config.database, work)


async def _list(args: Namespace, db: SqlDatabase) -> int:
    where, params = "", [args.limit]
    if args.state:
        where, params = "WHERE state = ? ", [NAMES.index(args.state), args.limit]
    rows = await db.fetch_all(
        "SELECT id, name, state, step, attempts, started, error,"  # noqa: S608
        f" {milliseconds(db.dialect)} AS now FROM covet_sagas {where}"
        "ORDER BY state DESC, due LIMIT ?",
        params,
    )
    parked = await db.fetch_value(f"SELECT count(*) AS n FROM covet_sagas WHERE state = {PARKED}")  # noqa: S608
    shown = [
        {
            "id": row["id"],
            "saga": row["name"],
            "state": NAMES[row["state"]],
            "step": row["step"],
            "attempts": row["attempts"],
            "age": f"{max(0, row['now'] - row['started']) / 1000:.0f} s",
            "error": row["error"],
        }
        for row in rows
    ]
    if args.json:
        _say(json.dumps({"parked": parked, "sagas": shown}, indent=2))
    else:
        _say(f"{len(shown)} shown; {parked} parked")
        if shown:
            args.console.table([{name: str(value) for name, value in row.items()} for row in shown])
    return int(parked > 0)


async def _show(args: Namespace, db: SqlDatabase) -> int:
    row = await db.fetch_one(
        "SELECT id, name, state, step, attempts, error, data FROM covet_sagas WHERE id = ?",
        (args.id,),
    )
    if row is None:
        raise _which(f"there is no saga {args.id!r}.", "See `covet sagas list`.")
    log = await db.fetch_all(
        "SELECT l.event, l.step, l.attempt, l.error, l.happened - s.started AS after"
        " FROM covet_saga_log l JOIN covet_sagas s ON s.id = l.saga WHERE l.saga = ?"
        " ORDER BY l.position",
        (args.id,),
    )
    lines = [{**each, "after": f"{each['after'] / 1000:.1f} s"} for each in log]
    found: dict[str, Any] = {**row, "state": NAMES[row["state"]]}
    if args.json:
        _say(json.dumps({**found, "log": lines}, indent=2))
        return 0
    for name, value in found.items():
        _say(f"{name}: {value}")
    if lines:
        args.console.table([{name: str(value) for name, value in line.items()} for line in lines])
    return 0


async def _retry(args: Namespace, db: SqlDatabase) -> int:
    ids = args.ids
    if args.all:
        rows = await db.fetch_all(f"SELECT id FROM covet_sagas WHERE state = {PARKED}")  # noqa: S608
        ids = [row["id"] for row in rows]
    count = 0
    for each in ids:
        async with db.transaction() as session:
            if await session.execute(resume(db.dialect), (each,)):
                await session.execute(note(db.dialect), (each, "resumed", "", 0, ""))
                count += 1
    _say(json.dumps({"resumed": count}) if args.json else f"{count} resumed")
    return 0


def _schema(dialect: str) -> int:
    for statement in schema(dialect):
        _say(f"{statement};")
    return 0


def _which(problem: str, fix: str) -> ConfigurationError:
    return ConfigurationError("COVET-SAGAS-WHICH", problem, fix=fix)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
