"""``covet sql top``."""

from __future__ import annotations

import sys
from argparse import Namespace
from json import dumps
from typing import TYPE_CHECKING, Any

from covet_kernel import ConfigurationError
from covet_sql._config import SqlConfig
from covet_sql.profile import read_report

if TYPE_CHECKING:
    from covet_kernel import Assembly


def report_of(args: Namespace, assembly: Assembly, config: SqlConfig) -> dict[str, Any]:
    """The databases of the report that is named, or else of the service's.

    Raises:
        ConfigurationError: There is none.
    """
    if args.report is not None:
        return read_report(args.report)
    if not config.report:
        raise ConfigurationError(
            "COVET-SQL-REPORT",
            "the service writes no report of its statements.",
            fix="Set plugins.sql.report to the name of a file, and run the service for a while.",
        )
    return read_report(assembly.settings.directory / config.report)


def top(args: Namespace, assembly: Assembly, config: SqlConfig) -> int:
    """Show the statements that cost the most."""
    found = [
        {"database": name, **statement}
        for name, database in report_of(args, assembly, config).items()
        for statement in database["statements"]
    ]
    found.sort(key=lambda each: each[args.sort], reverse=True)
    found = found[: args.limit]
    if args.json:
        sys.stdout.write(dumps(found, indent=2) + "\n")
    elif not found:
        sys.stdout.write("The service has run no statements yet.\n")
    else:
        args.console.table([_row(each) for each in found])
    return 0


def _row(each: dict[str, Any]) -> dict[str, str]:
    return {
        "database": each["database"],
        "count": str(each["count"]),
        "rows": str(each["rows"]),
        "errors": str(each["errors"]),
        "total": duration(each["seconds"]),
        "p50": duration(each["p50"]),
        "p95": duration(each["p95"]),
        "slowest": duration(each["slowest"]),
        "waited": duration(each["waited"]),
        "statement": _short(each["shape"]),
    }


def duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us" if seconds else "0"


def _short(text: str, length: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."
