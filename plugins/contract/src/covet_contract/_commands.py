"""``covet contract``: its arguments. What it does is loaded when it is asked to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covet_contract._config import ContractConfig
from covet_kernel.contracts import Command

if TYPE_CHECKING:
    from covet_kernel import Assembly

FAIL_ON = ("breaking", "risky", "never")


def command(config: ContractConfig) -> Command:
    """The sub-command, for the configuration it is declared with."""
    return Command(
        name="contract",
        help="Write the documents that callers go by, or name what in new ones breaks them.",
        run=partial(_run, config),
        configure=_configure,
    )


def _run(config: ContractConfig, args: Namespace, assembly: Assembly) -> int:
    from covet_contract._cli import run

    return run(config, args, assembly)


def _configure(parser: ArgumentParser) -> None:
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)

    def add(name: str, text: str) -> Any:
        sub = words.add_parser(name, help=text, description=text)
        sub.add_argument(
            "--only",
            action="append",
            default=[],
            metavar="KIND",
            help="documents of this format, such as openapi; may be repeated",
        )
        return sub

    export = add("export", "Write a document for each protocol; nothing is started for it.")
    export.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="instead of `folder`"
    )
    export.add_argument(
        "--check",
        action="store_true",
        help="write nothing, and exit with 1 if the files there are not these",
    )
    diff = add("diff", "Name what has changed for callers; exits with 1 if something breaks them.")
    diff.add_argument("old", type=Path, metavar="OLD", help="the file or folder that is promised")
    diff.add_argument(
        "new",
        nargs="?",
        type=Path,
        metavar="NEW",
        help="what is to replace it (what the configuration exports)",
    )
    diff.add_argument(
        "--fail-on",
        choices=FAIL_ON,
        default="breaking",
        help="exit with 1 at changes this bad, or worse (breaking)",
    )
    diff.add_argument("--all", action="store_true", help="list compatible changes as well")
