"""``covet db``: its arguments. What it does is loaded when it is asked to."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from functools import partial
from typing import Any

from covet_kernel import Assembly, Command
from covet_migrations._config import MigrationsConfig


def command(config: MigrationsConfig) -> Command:
    """The sub-command, for the configuration it is declared with."""
    return Command(
        name="db",
        help="Migrate databases: init, revision, upgrade, downgrade, status, diff, lint, squash.",
        run=partial(_run, config),
        configure=_configure,
    )


def _run(config: MigrationsConfig, args: Namespace, assembly: Assembly) -> int:
    from covet_migrations._cli import run

    return run(config, args, assembly)


def _common() -> ArgumentParser:
    """Options that every word has."""
    parser = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    parser.add_argument("--database", metavar="NAME", help="of the SQL instance (the default one)")
    parser.add_argument(
        "--tenant",
        metavar="NAMES",
        help="what these tenants have, with commas between, or 'all' has",
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="with --tenant: processes that migrate at once (2)"
    )
    return parser


def _configure(parser: ArgumentParser) -> None:
    parser.set_defaults(database="", tenant="", jobs=2)
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)

    def add(name: str, text: str) -> ArgumentParser:
        sub: ArgumentParser = words.add_parser(
            name, help=text, description=text, parents=[_common()]
        )
        return sub

    def source(sub: Any) -> None:
        sub.add_argument("--source", default="", metavar="NAME", help="whose migrations")

    source(add("init", "Make the folders in which migrations are kept."))

    sub = add("revision", "Write a new revision.")
    source(sub)
    sub.add_argument("-m", "--message", required=True, metavar="TEXT", help="what it is for")
    how = sub.add_mutually_exclusive_group()
    how.add_argument(
        "--auto", action="store_true", help="fill it with what the tables of the service differ in"
    )
    how.add_argument("--merge", action="store_true", help="join several newest revisions")
    sub.add_argument(
        "--depends-on",
        action="append",
        default=[],
        metavar="REVISION",
        help="of another source, that has to be there first; may be repeated",
    )
    sub.add_argument("--id", default="", metavar="ID", help="instead of a random one")

    sub = add("upgrade", "Apply what is not applied.")
    sub.add_argument(
        "revision", nargs="?", default="heads", help="up to this one, +N, or source@head (all)"
    )
    _offline(sub)

    sub = add("downgrade", "Undo revisions.")
    sub.add_argument("revision", help="down to this one, -N, source@base or base")
    _offline(sub)

    sub = add("status", "Show what is applied and what is not.")
    sub.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 if something is not, with 3 if the database is ahead",
    )

    source(add("diff", "Show how the database differs from the tables; exits with 1 if it does."))

    sub = add(
        "lint", "Say what pending migrations do to a database in use; exits with 1 if anything."
    )
    sub.add_argument("--from", dest="start", metavar="REVISION", help=_FROM)

    sub = add("squash", "Make one revision of all of a source.")
    source(sub)
    sub.add_argument("-m", "--message", default="squashed", metavar="TEXT", help="what it is for")


_FROM = "start there, or at 'base', and not where the database is: nothing is connected to"


def _offline(sub: ArgumentParser) -> None:
    sub.add_argument("--sql", action="store_true", help="print the statements and run none")
    sub.add_argument("--from", dest="start", metavar="REVISION", help=f"with --sql, {_FROM}")
