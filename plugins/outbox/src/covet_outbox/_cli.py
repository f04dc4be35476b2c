"""What the words of ``covet outbox`` do."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from covet_kernel import Assembly, ConfigurationError
from covet_kernel.contracts import SqlDatabase
from covet_outbox._config import OutboxConfig
from covet_outbox._dead import purge, retry, troubled
from covet_outbox._janitor import look
from covet_outbox._tables import make_ready, schema
from covet_sql.command import on_database


def run(config: OutboxConfig, args: Namespace, assembly: Assembly) -> int:
    """Do what ``args.word`` says; the exit code.

    Raises:
        CovetError: It cannot be done.
    """
    if args.word == "schema":
        return _schema(config, args, assembly)
    if args.word == "status":
        return _status(config, args, assembly)
    if not args.ids and not args.all and not args.topic:
        raise ConfigurationError(
            "COVET-OUTBOX-WHICH",
            f"which messages to {args.word} is not said.",
            fix="Name their ids, or a --topic, or say --all.",
        )
    act = retry if args.word == "retry" else purge

    async def change(db: SqlDatabase) -> int:
        await make_ready(db, make=False)
        return await act(db, args.ids, args.topic)

    count = on_database(assembly, config.database, change)
    done = "tried again" if args.word == "retry" else "removed"
    _say(json.dumps({done: count}) if args.json else f"{count} {done}")
    return 0


def _status(config: OutboxConfig, args: Namespace, assembly: Assembly) -> int:
    async def read(db: SqlDatabase) -> int:
        await make_ready(db, make=False)
        found, listed = await look(db), await troubled(db, args.limit)
        if args.json:
            rows = [{name: getattr(each, name) for name in each._fields} for each in listed]
            numbers = {"waiting": found.depth, "dead": found.dead, "lag": found.lag}
            _say(json.dumps({**numbers, "messages": rows}, indent=2))
        else:
            _say(f"{found.depth} waiting, the oldest for {found.lag:.0f} s; {found.dead} dead")
            if listed:
                args.console.table(
                    [
                        {name: str(_shown(getattr(each, name))) for name in each._fields}
                        for each in listed
                    ]
                )
        return int(found.dead > 0)

    return on_database(assembly, config.database, read)


def _shown(value: object) -> object:
    return f"{value:.0f} s" if isinstance(value, float) else value


def _schema(config: OutboxConfig, args: Namespace, assembly: Assembly) -> int:
    async def ask(db: SqlDatabase) -> str:
        return db.dialect

    dialect = args.dialect or on_database(assembly, config.database, ask)
    for statement in schema(dialect):
        _say(f"{statement};")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
