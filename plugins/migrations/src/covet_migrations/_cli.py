"""What the words of ``covet db`` do."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covet_kernel import Assembly, ConfigurationError
from covet_migrations._config import MigrationsConfig
from covet_migrations._migrator import Migrator, no_sources
from covet_migrations._sources import OWN, Source, blocking_database, source_named, sources
from covet_migrations._steps import offline

if TYPE_CHECKING:
    from covet_migrations._revisions import Revision
    from covet_migrations._safety import Finding
    from covet_migrations._scripts import Way

AHEAD = 3
"""Exit code of ``covet db status --check``: the database has a revision that no source has."""


def say(line: str) -> None:
    """A line for whoever waits, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(config: MigrationsConfig, args: Namespace, assembly: Assembly) -> int:
    """Do what ``args.word`` says; the exit code.

    Raises:
        CovetError: It cannot be done.
    """
    directory = assembly.settings.directory
    if args.tenant:
        from covet_migrations._tenants import run_tenants

        return run_tenants(config, args, assembly)
    found = sources(assembly.hooks, directory, config, args.database)
    if args.word == "init":
        return _init(args, found, directory / config.folder)
    if not found:
        raise no_sources()
    migrator = Migrator(
        blocking_database(assembly.hooks, directory, args.database),
        found,
        wait=config.wait,
        lock_timeout=config.lock_timeout,
        report=say,
    )
    return WORDS[args.word](args, migrator)


def _init(args: Namespace, found: list[Source], own: Path) -> int:
    if not found and not args.database:
        found = [Source(name=OWN, owner="migrations", path=own, tables="")]
    if not found:
        raise no_sources()
    for each in [source_named(found, args.source)] if args.source else found:
        existed = each.path.is_dir()
        try:
            each.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                "COVET-MIGRATION-SOURCE",
                f"the folder of {each.name} cannot be made: {error.strerror}.",
                place=str(each.path),
                fix="Name a folder that can be.",
            ) from error
        say(f"{each.name}: {each.path} {'is there' if existed else 'made'}")
    return 0


def _revision(args: Namespace, migrator: Migrator) -> int:
    from covet_migrations._writing import revision

    source = source_named(migrator.sources, args.source)
    path = revision(
        migrator,
        source,
        args.message,
        auto=args.auto,
        merge=args.merge,
        depends_on=args.depends_on,
        identifier=args.id,
    )
    say(str(path) if path else "nothing differs: no revision was written")
    return 0


def _move(way: Way) -> Callable[[Namespace, Migrator], int]:
    def move(args: Namespace, migrator: Migrator) -> int:
        if args.sql:
            text = migrator.sql(way, args.revision, _start(args, migrator))
            sys.stdout.write(text)
        elif args.start:
            raise ConfigurationError(
                "COVET-MIGRATION-REVISION",
                "--from goes with --sql: what is run begins where the database is.",
                fix="Leave it out, or add --sql.",
            )
        elif way == "upgrade":
            migrator.upgrade(args.revision)
        else:
            migrator.downgrade(args.revision)
        return 0

    return move


def _start(args: Namespace, migrator: Migrator) -> tuple[str, ...]:
    if args.start is None:
        return migrator.current()
    return () if args.start == "base" else (args.start,)


def _status(args: Namespace, migrator: Migrator) -> int:
    heads = migrator.current()
    revisions = migrator.revisions
    unknown, applied = revisions.unknown(heads), revisions.applied(heads)
    if unknown:
        # What an unknown revision stands on nobody can say who has not got its file.
        rest, left = sorted(revisions.by_id.keys() - applied), "unknown"
        state = f"ahead of this version: revision {', '.join(unknown)} is not known here"
    else:
        rest, left = [each.id for each in migrator.pending(heads)], "pending"
        state = f"{len(rest)} pending"
    by_file = sorted(applied, key=lambda name: _by_file(revisions.by_id[name]))
    rows = [
        {"source": each.source, "revision": each.id, "title": each.title, "status": status}
        for names, status in ((by_file, "applied"), (rest, left))
        for each in (revisions.by_id[name] for name in names)
    ]
    name = migrator.database.name
    if args.json:
        say(json.dumps({"database": name, "ahead": unknown, "revisions": rows}, indent=2))
    else:
        say(f"{name} is at {', '.join(heads) or 'base'}, {state}")
        if rows:
            args.console.table(rows)
    if not args.check:
        return 0
    return AHEAD if unknown else int(bool(rest))


def _by_file(each: Revision) -> tuple[str, str]:
    return each.source, each.path.name


def _diff(args: Namespace, migrator: Migrator) -> int:
    from covet_migrations._compare import all_differences
    from covet_migrations._writing import up_to_date

    chosen = [source_named(migrator.sources, args.source)] if args.source else migrator.sources
    with migrator.connected() as connection:
        up_to_date(migrator, migrator.heads(connection))
        found = all_differences(connection, migrator.revisions, chosen)
    if args.json:
        say(json.dumps([{"source": each.source.name, "upgrade": each.upgrade} for each in found]))
    elif not found:
        say(f"{migrator.database.name} has the tables of the service")
    for each in () if args.json else found:
        say(f"{each.source.name} lacks:\n    {each.upgrade}")
    return int(bool(found))


def findings(migrator: Migrator, heads: tuple[str, ...]) -> list[Finding]:
    """What is to be known of what is pending, without what its files say is meant."""
    from covet_migrations._safety import allowed, lint

    written: list[tuple[str, str]] = []
    for step in migrator.plan("upgrade", "heads", heads):
        name = step.revision.revision
        # Each by itself: where a step starts does not matter to what it writes.
        written += [(name, text) for text in offline(migrator, [step], step.from_revisions)]
    found = lint(written, migrator.database.dialect)
    return [
        each
        for each in found
        if "alembic_version" not in each.statement
        and each.kind not in allowed(migrator.revisions.by_id[each.revision].text)
    ]


def _lint(args: Namespace, migrator: Migrator) -> int:
    found = findings(migrator, _start(args, migrator))
    if args.json:
        rows: list[dict[str, Any]] = [
            {name: getattr(each, name) for name in each._fields} for each in found
        ]
        say(json.dumps(rows, indent=2))
    else:
        for each in found:
            say(f"{each.revision} {each.kind}: {each.statement}")
            say(f"  {each.problem}")
            say(f"  instead: {each.instead}")
        say(f"{len(found) or 'nothing'} to know")
    return int(bool(found))


def _squash(args: Namespace, migrator: Migrator) -> int:
    from covet_migrations._squash import squash

    made, gone = squash(
        migrator.revisions, source_named(migrator.sources, args.source), args.message
    )
    for path in gone:
        say(f"removed {path}")
    say(f"{made}")
    return 0


WORDS: dict[str, Callable[[Namespace, Migrator], int]] = {
    "revision": _revision,
    "upgrade": _move("upgrade"),
    "downgrade": _move("downgrade"),
    "status": _status,
    "diff": _diff,
    "lint": _lint,
    "squash": _squash,
}
