"""The command's ways and their arguments."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covet_kernel.contracts import Command
from covet_sql._config import SqlConfig

if TYPE_CHECKING:
    from covet_kernel import Assembly

SORTS = ("seconds", "count", "p95", "slowest", "rows", "errors", "waited")
LEVELS = ("info", "warning", "error", "never")


def sql_command(config: SqlConfig) -> Command:
    """The command of a service with this configuration."""

    def run(args: Namespace, assembly: Assembly) -> int:
        return _way(args.what)(args, assembly, config)

    return Command(
        name="sql",
        help="Show what the service's statements cost, and what is wrong with them.",
        run=run,
        configure=_configure,
    )


def _way(name: str) -> Callable[[Namespace, Assembly, SqlConfig], int]:
    # Only what is asked for is loaded: two of them need sqlglot.
    if name == "top":
        from covet_sql.command._top import top

        return top
    if name == "lint":
        from covet_sql.command._lint import lint

        return lint
    from covet_sql.command._explain import explain

    return explain


def _configure(parser: ArgumentParser) -> None:
    ways = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    top = _parser(ways, "top", "show the statements that cost the most, from the service's report")
    top.add_argument("--sort", choices=SORTS, default="seconds", help="by what (seconds in all)")
    top.add_argument("--limit", type=int, default=20, help="how many (20)")
    lint = _parser(ways, "lint", "say what is wrong with statements, without a database")
    lint.add_argument("files", nargs="*", type=Path, help="files of SQL; else those of the report")
    lint.add_argument(
        "--sql", action="append", default=[], metavar="TEXT", help="a statement; may be repeated"
    )
    lint.add_argument("--dialect", choices=("postgresql", "sqlite", "mysql"), help="the database's")
    _judging(lint)
    explain = _parser(ways, "explain", "say what is wrong with how the database runs statements")
    explain.add_argument("statements", nargs="*", help="statements; else those of the report")
    explain.add_argument("--file", type=Path, action="append", default=[], help="a file of SQL")
    explain.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the value of a parameter, JSON or text; with all of them a statement is run",
    )
    explain.add_argument("--database", default="", help="the plugin instance, such as postgres")
    explain.add_argument(
        "--rows", type=float, default=1000, help="from how many a table is not read whole (1000)"
    )
    explain.add_argument(
        "--writes", action="store_true", help="run statements that write, too, and undo them"
    )
    explain.add_argument("--plan", action="store_true", help="show the plans as well")
    _judging(explain)


def _judging(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--fail",
        choices=LEVELS,
        default="warning",
        help="from what level on a finding is an exit code of 1 (warning)",
    )
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="RULE", help="a rule to leave out"
    )
    parser.add_argument(
        "--repeats", type=int, default=10, help="how often one call may run a statement (10)"
    )


def _parser(ways: Any, name: str, text: str) -> ArgumentParser:
    parser: ArgumentParser = ways.add_parser(name, help=text, description=text)
    parser.add_argument("--report", type=Path, help="the report (plugins.sql.report)")
    return parser
