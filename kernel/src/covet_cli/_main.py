"""The command line: finds the command, assembles, and turns errors into messages and exit codes."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib.metadata import version

from covet_cli._effective import effective, explain, schema
from covet_cli._output import PlainConsole, console_of, print_json
from covet_cli._run import configure_run, run
from covet_cli._settings import CommandParser, common_options, config_file, load_settings
from covet_kernel import (
    Assembly,
    Command,
    ConfigurationError,
    Console,
    CovetError,
    assemble,
    describe,
    flatten,
    installed,
)

log = logging.getLogger("covet")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 1 a plugin failed, 2 the user's mistake, 130 interrupted.
    """
    console: Console = PlainConsole()
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Wherever they stand among the arguments, these are found here; the parser below only helps.
    known, rest = common_options().parse_known_args(arguments)
    word = next((word for word in rest if not word.startswith("-")), None)
    try:
        assembly = _assembly_for(word, known)
        args = _parser(assembly).parse_args(arguments)
        args.config, args.overrides, args.json = known.config, known.overrides, known.json
        if args.run is not _version:
            assembly = assembly or assemble(load_settings(known))
            console = args.console = console_of(assembly)
        if args.run is not run:
            gc.enable()
        code: int = args.run(args, assembly)
        if sys.stdout:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output has had enough; Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (BaseExceptionGroup, CovetError) as error:
        leaves = [leaf for leaf in flatten(error) if isinstance(leaf, Exception)]
        for leaf in leaves:
            console.error(leaf)
            if not isinstance(leaf, ConfigurationError):
                log.error("where it happened:", exc_info=leaf.__cause__ or leaf)
        return 2 if leaves and all(isinstance(leaf, ConfigurationError) for leaf in leaves) else 1


def _assembly_for(word: str | None, known: Namespace) -> Assembly | None:
    """What is enabled, if the command line needs to know it: for a plugin's command, or for help."""
    if word in COMMANDS or config_file(known) is None:
        return None
    try:
        return assemble(load_settings(known))
    except (BaseExceptionGroup, CovetError):
        if word is None:
            return None
        raise


def _parser(assembly: Assembly | None) -> ArgumentParser:
    parser = ArgumentParser(
        prog="covet", description="Run services made of plugins.", parents=[common_options()]
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=CommandParser)
    extra: list[tuple[str, Command]] = assembly.declared("covet_commands") if assembly else []
    owners: dict[str, str] = {}
    for owner, command in [*(("covet", command) for command in COMMANDS.values()), *extra]:
        kind, _, instance = owner.partition("/")
        # Of several instances each has the command, under its own name behind the first's.
        again = bool(instance) and owners.get(command.name, "").partition("/")[0] == kind
        name = f"{command.name}/{instance}" if again else command.name
        if name in owners:
            names = {"one": owners[name], "other": owner}
            raise ConfigurationError.of("COVET-COMMAND-TWICE", name=name, **names)
        owners[name] = owner
        sub = commands.add_parser(name, help=command.help, description=command.help)
        sub.set_defaults(run=command.run)
        if command.configure:
            command.configure(sub)
    return parser


def _check(args: Namespace, assembly: Assembly) -> int:
    if args.json:
        return print_json({"ok": True, "plugins": list(assembly.nodes)})
    print(f"{len(assembly.nodes)} plugins can start in this order: {', '.join(assembly.nodes)}")
    return 0


def _plugins(args: Namespace, assembly: Assembly) -> int:
    rows = [{**plugin, "enabled": True} for plugin in describe(assembly)["plugins"]]
    types = {row["type"] for row in rows}
    for name, points in installed().items():
        if name not in types:
            origin = " and ".join(
                f"{point.dist.name} {point.dist.version}" for point in points if point.dist
            )
            rows.append({"name": name, "type": name, "origin": origin, "enabled": False})
    if args.json:
        return print_json(rows)
    table = []
    for row in rows:
        status = f"implied by {row['implied_by']}" if row.get("implied_by") else "enabled"
        shown = {
            "name": row["name"],
            "status": status if row["enabled"] else "installed",
            "origin": row["origin"],
        }
        table.append(shown | {key: ", ".join(row.get(key, ())) for key in ("provides", "requires")})
    args.console.table(table)
    return 0


def _graph(args: Namespace, assembly: Assembly) -> int:
    plugins = describe(assembly)["plugins"]
    if args.json:
        return print_json({plugin["name"]: plugin["depends_on"] for plugin in plugins})
    args.console.graph(plugins)
    return 0


def _config(args: Namespace, assembly: Assembly) -> int:
    if args.what == "schema":
        return print_json(schema(assembly))
    rows = explain(assembly, args.key or "") if args.what == "explain" else effective(assembly)
    if args.json:
        return print_json(rows)
    args.console.table(
        [
            {key: cell if isinstance(cell, str) else json.dumps(cell) for key, cell in row.items()}
            for row in rows
        ]
    )
    return 0


def _configure_config(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=("show", "schema", "explain"))
    parser.add_argument("key", nargs="?", help="for explain, such as plugins.http.port")


def _version(args: Namespace, assembly: Assembly | None) -> int:
    number = version("covet-kernel")
    if args.json:
        return print_json({"version": number})
    print(f"covet {number}")
    return 0


COMMANDS = {
    command.name: command
    for command in (
        Command(
            name="run",
            help="Start everything and serve until told to stop.",
            run=run,
            configure=configure_run,
        ),
        Command(name="check", help="Validate the configuration and prove the graph.", run=_check),
        Command(name="plugins", help="List enabled and installed plugins.", run=_plugins),
        Command(name="graph", help="Show who needs whom, in the order of start.", run=_graph),
        Command(
            name="config",
            help="Show, explain or describe the configuration.",
            run=_config,
            configure=_configure_config,
        ),
        Command(name="version", help="Print the version.", run=_version),
    )
}
