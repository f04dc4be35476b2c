"""The options every command has, and the settings they lead to."""

from __future__ import annotations

import os
from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from covet_kernel import Settings


def common_options() -> ArgumentParser:
    """A parser of the options every command has, wherever they stand among other arguments."""
    parser = ArgumentParser(add_help=False)
    _add_common_options(parser, behind=False)
    return parser


def _add_common_options(parser: ArgumentParser, *, behind: bool) -> None:
    # Behind a command they have no defaults: those would undo what stands before it.
    add = parser.add_argument
    add(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        default=SUPPRESS if behind else None,
        help="configuration (./covet.toml if there is one)",
    )
    add(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        dest="overrides",
        default=SUPPRESS if behind else None,
        help="override a value; may be repeated",
    )
    add(
        "--json",
        action="store_true",
        default=SUPPRESS if behind else False,
        help="print JSON for machines",
    )


class CommandParser(ArgumentParser):
    """Of a command, and of every word that a plugin puts behind one: it has the common options too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _add_common_options(self, behind=True)


def config_file(args: Namespace) -> Path | None:
    """The file to read, ``None`` if none is named and none is here."""
    path: Path | None = args.config
    return path or (Path("covet.toml") if Path("covet.toml").exists() else None)


def load_settings(args: Namespace) -> Settings:
    """The file, the environment and ``--set``, merged."""
    return Settings.load(config_file(args), environ=os.environ, overrides=args.overrides or ())
