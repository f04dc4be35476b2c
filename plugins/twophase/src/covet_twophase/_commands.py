"""``covet twophase``: its arguments. What it does is loaded when it is asked to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING

from covet_kernel.contracts import Command
from covet_twophase._config import TwoPhaseConfig

if TYPE_CHECKING:
    from covet_kernel import Assembly


def command(config: TwoPhaseConfig) -> Command:
    """The sub-command, for the configuration it is declared with."""
    return Command(
        name="twophase",
        help="Transactions over several databases that are in doubt: list, resolve.",
        run=partial(_run, config),
        configure=_configure,
    )


def _run(config: TwoPhaseConfig, args: Namespace, assembly: Assembly) -> int:
    from covet_twophase._cli import run

    return run(config, args, assembly)


def _configure(parser: ArgumentParser) -> None:
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)

    def add(name: str, text: str) -> ArgumentParser:
        sub: ArgumentParser = words.add_parser(name, help=text, description=text)
        return sub

    add("list", "Show what is prepared on the databases; exits with 1 if anything is.")
    resolve = add("resolve", "End what processes have left that are no more.")
    resolve.add_argument(
        "branch", nargs="?", metavar="BRANCH", help="only this one, whose log is lost, as is said"
    )
    how = resolve.add_mutually_exclusive_group()
    how.add_argument("--commit", action="store_true", help="commit the branch")
    how.add_argument("--rollback", action="store_true", help="roll the branch back")
