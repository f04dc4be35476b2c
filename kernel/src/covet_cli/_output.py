"""How results are shown: JSON for machines, plain text for pipes, a plugin's console for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from covet_kernel import Assembly, Console


class PlainConsole:
    """Text without colours, for pipes and for those who have no console plugin."""

    def table(self, rows: Sequence[Mapping[str, str]]) -> None:
        columns = list(rows[0]) if rows else []
        lines = [
            [column.upper() for column in columns],
            *([row[column] for column in columns] for row in rows),
        ]
        widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
        for line in lines:
            print(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(line, widths, strict=True)
                ).rstrip()
            )

    def graph(self, plugins: Sequence[Mapping[str, Any]]) -> None:
        for plugin in plugins:
            needs = f"  <- {', '.join(plugin['depends_on'])}" if plugin["depends_on"] else ""
            gives = f"  provides {', '.join(plugin['provides'])}" if plugin["provides"] else ""
            print(f"{plugin['name']}{needs}{gives}")

    def error(self, error: Exception) -> None:
        print(error, file=sys.stderr)


def console_of(assembly: Assembly) -> Console:
    """The console of the last plugin that brings one, else the plain one."""
    consoles: list[Console] = [console for _, console in assembly.declared("covet_console")]
    return consoles[-1] if consoles else PlainConsole()


def print_json(value: Any) -> int:
    """Print ``value`` for machines; the exit code 0."""
    print(json.dumps(value, indent=2, default=str))
    return 0
