"""``covet sql lint``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from covet_kernel import ConfigurationError
from covet_sql._config import SqlConfig
from covet_sql.command._top import report_of
from covet_sql.lint import (
    LEVELS,
    RULES,
    Finding,
    Source,
    examine,
    examine_repeats,
    recorded,
    render,
    split,
    worst,
)

if TYPE_CHECKING:
    from covet_kernel import Assembly

KNOWN = {"postgres": "postgresql", "sqlite": "sqlite", "mysql": "mysql"}
"""The dialects of covet's drivers."""


def lint(args: Namespace, assembly: Assembly, config: SqlConfig) -> int:
    """Say what is wrong with statements, as far as their texts tell."""
    findings: list[Finding] = []
    if args.files or args.sql:
        dialect = args.dialect or _dialect_of(assembly)
        for source in (*from_files(args.files), *map(Source, args.sql)):
            findings += examine(source, dialect)
    else:
        for database in report_of(args, assembly, config).values():
            dialect = args.dialect or database["dialect"]
            for source in recorded(database):
                findings += examine(source, dialect)
            findings += examine_repeats(database.get("issued", ()), dialect, repeats=args.repeats)
    return conclude(args, findings)


def _dialect_of(assembly: Assembly) -> str:
    found = {KNOWN[node.type] for node in assembly.nodes.values() if node.type in KNOWN}
    if len(found) != 1:
        raise ConfigurationError(
            "COVET-SQL-DIALECT",
            "which database the statements are for is not known.",
            valid=sorted(KNOWN.values()),
            fix="Say it: --dialect.",
        )
    return found.pop()


def from_files(paths: Iterable[Path]) -> Iterable[Source]:
    """The statements of files.

    Raises:
        ConfigurationError: One cannot be read.
    """
    for path in paths:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                "COVET-SQL-FILE",
                f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.",
                fix="Name a file of SQL, in UTF-8.",
            ) from error
        yield from split(text, str(path))


def conclude(args: Namespace, findings: Iterable[Finding]) -> int:
    """Show findings; 1 if one of them is bad enough.

    Raises:
        ConfigurationError: A rule to ignore is none.
    """
    unknown = sorted(set(args.ignore) - RULES.keys())
    if unknown:
        raise ConfigurationError(
            "COVET-SQL-RULE",
            f"there is no rule {unknown[0]!r}.",
            valid=sorted(RULES),
            given=unknown[0],
            fix="Name one of them: --ignore.",
        )
    kept = [each for each in findings if each.rule not in args.ignore]
    if args.json:
        sys.stdout.write(dumps([each.as_data() for each in kept], indent=2) + "\n")
    elif kept:
        sys.stdout.write(render(kept))
    else:
        sys.stdout.write("Nothing is wrong with these statements, as far as the rules tell.\n")
    bad = len(LEVELS) if args.fail == "never" else LEVELS.index(args.fail)
    return 1 if worst(kept) >= bad else 0
