"""``covet outbox``: its arguments. What it does is loaded when it is asked to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING, Any

from covet_kernel.contracts import Command
from covet_outbox._config import OutboxConfig

if TYPE_CHECKING:
    from covet_kernel import Assembly

DIALECTS = ("sqlite", "postgresql", "mysql")


def command(config: OutboxConfig) -> Command:
    """The sub-command, for the configuration it is declared with."""
    return Command(
        name="outbox",
        help="Show messages that wait or are set aside; try them again, or remove them.",
        run=partial(_run, config),
        configure=_configure,
    )


def _run(config: OutboxConfig, args: Namespace, assembly: Assembly) -> int:
    from covet_outbox._cli import run

    return run(config, args, assembly)


def _configure(parser: ArgumentParser) -> None:
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)

    def add(name: str, text: str) -> Any:
        return words.add_parser(name, help=text, description=text)

    status = add("status", "Show what waits and what is set aside; exits with 1 if anything is.")
    status.add_argument("--limit", type=int, default=50, help="messages to list (50)")
    for name, text in (
        ("retry", "Have messages tried anew that are set aside or wait."),
        ("purge", "Remove messages for good that are set aside."),
    ):
        sub = add(name, text)
        sub.add_argument("ids", nargs="*", metavar="ID", help="of the messages")
        sub.add_argument("--all", action="store_true", help="all of them")
        sub.add_argument("--topic", default="", help="only those for this topic")
    schema = add("schema", "Print the statements that make the tables, for a migration.")
    schema.add_argument("--dialect", choices=DIALECTS, help="the database's (asked of it)")
