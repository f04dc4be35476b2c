"""``covet sagas``: its arguments. What it does is loaded when it is asked to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING, Any

from covet_kernel.contracts import Command
from covet_sagas._config import SagasConfig

if TYPE_CHECKING:
    from covet_kernel import Assembly

STATES = ("running", "undoing", "done", "undone", "parked")


def command(config: SagasConfig) -> Command:
    """The sub-command, for the configuration it is declared with."""
    return Command(
        name="sagas",
        help="Show sagas and what happened to them; have those that are parked go on.",
        run=partial(_run, config),
        configure=_configure,
    )


def _run(config: SagasConfig, args: Namespace, assembly: Assembly) -> int:
    from covet_sagas._cli import run

    return run(config, args, assembly)


def _configure(parser: ArgumentParser) -> None:
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)

    def add(name: str, text: str) -> Any:
        return words.add_parser(name, help=text, description=text)

    listed = add("list", "Show sagas; exits with 1 if one is parked.")
    listed.add_argument("--state", choices=STATES, help="only those in this state")
    listed.add_argument("--limit", type=int, default=50, help="how many (50)")
    show = add("show", "Show one saga and its log.")
    show.add_argument("id", metavar="ID")
    retry = add("retry", "Have parked sagas go on where they stood.")
    retry.add_argument("ids", nargs="*", metavar="ID", help="of the sagas")
    retry.add_argument("--all", action="store_true", help="all that are parked")
    schema = add("schema", "Print the statements that make the tables, for a migration.")
    schema.add_argument(
        "--dialect", choices=("sqlite", "postgresql", "mysql"), help="the database's (asked of it)"
    )
