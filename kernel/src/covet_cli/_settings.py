"""The options every command has, and the settings they lead to."""

from __future__ import annotations

import os
from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path

from covet_kernel import Settings


def common_options(*, behind: bool = False) -> ArgumentParser:
    """Options that stand before or behind the command; behind it they have no defaults to undo."""
    parser = ArgumentParser(add_help=False, argument_default=SUPPRESS if behind else None)
    add = parser.add_argument
    add(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration (./covet.toml if there is one)",
    )
    add(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a value; may be repeated",
    )
    add(
        "--json",
        action="store_true",
        default=SUPPRESS if behind else False,
        help="print JSON for machines",
    )
    return parser


def config_file(args: Namespace) -> Path | None:
    """The file to read, ``None`` if none is named and none is here."""
    path: Path | None = args.config
    return path or (Path("covet.toml") if Path("covet.toml").exists() else None)


def load_settings(args: Namespace) -> Settings:
    """The file, the environment and ``--set``, merged."""
    return Settings.load(config_file(args), environ=os.environ, overrides=args.overrides or ())
