"""What the words of ``covet outbox`` do."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from covet_kernel import Assembly, ConfigurationError, Kernel, Settings, assemble
from covet_kernel.contracts import SQL, SqlDatabase
from covet_outbox._config import OutboxConfig
from covet_outbox._dead import purge, retry, troubled
from covet_outbox._janitor import look
from covet_outbox._tables import make_ready, schema

T = TypeVar("T")


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
        await make_ready(db, create=False)
        return await act(db, args.ids, args.topic)

    count = _with_database(config, assembly, change)
    done = "tried again" if args.word == "retry" else "removed"
    _say(json.dumps({done: count}) if args.json else f"{count} {done}")
    return 0


def _status(config: OutboxConfig, args: Namespace, assembly: Assembly) -> int:
    async def read(db: SqlDatabase) -> int:
        await make_ready(db, create=False)
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

    return _with_database(config, assembly, read)


def _shown(value: object) -> object:
    return f"{value:.0f} s" if isinstance(value, float) else value


def _schema(config: OutboxConfig, args: Namespace, assembly: Assembly) -> int:
    async def ask(db: SqlDatabase) -> str:
        return db.dialect

    dialect = args.dialect or _with_database(config, assembly, ask)
    for statement in schema(dialect):
        _say(f"{statement};")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _with_database(
    config: OutboxConfig, assembly: Assembly, work: Callable[[SqlDatabase], Awaitable[T]]
) -> T:
    """Start the outbox's database and nothing else, and do the work on it."""
    wanted = SQL.named(config.database)
    (name,) = (name for name, node in assembly.nodes.items() if wanted in node.provides)
    settings, place = Settings(assembly.settings.directory), ("plugins", name)
    settings.put(place, assembly.settings.table(*place), assembly.settings.source(place))
    alone = assemble(settings, assembly.classes)

    async def on_it() -> T:
        async with Kernel(alone).running() as kernel:
            return await work(kernel.require(wanted))

    return anyio.run(on_it)
