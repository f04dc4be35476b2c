"""The command ``covet``. Exit codes: 0 done, 1 a plugin failed, 2 the user's mistake."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio

from covet_kernel._assembly import Assembly, assemble, installed
from covet_kernel._command import Command, Console
from covet_kernel._describe import describe, redacted
from covet_kernel._errors import ConfigurationError, flatten
from covet_kernel._kernel import Kernel
from covet_kernel._settings import Settings

log = logging.getLogger("covet")


class PlainConsole:
    """Text without colours, for pipes and for those who have no console plugin."""

    def table(self, rows: Sequence[Mapping[str, str]]) -> None:
        columns = list(rows[0]) if rows else []
        widths = [max(len(column), *(len(row[column]) for row in rows)) for column in columns]
        for cells in [[column.upper() for column in columns], *([row[column] for column in columns] for row in rows)]:
            print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())

    def graph(self, plugins: Sequence[Mapping[str, Any]]) -> None:
        for plugin in plugins:
            needs = f"  <- {', '.join(plugin['depends_on'])}" if plugin["depends_on"] else ""
            gives = f"  provides {', '.join(plugin['provides'])}" if plugin["provides"] else ""
            print(f"{plugin['name']}{needs}{gives}")

    def error(self, error: Exception) -> None:
        print(error, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    console: Console = PlainConsole()
    assembly: Assembly | None = None
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        common = _common()
        known, rest = common.parse_known_args(arguments)
        builtin = next((word for word in rest if not word.startswith("-")), None) in _COMMANDS
        if not builtin and _path(known):
            assembly = assemble(_settings(known))
        extra = [command for _, command in assembly.declared("covet_commands")] if assembly else []
        parser = ArgumentParser(prog="covet", description="Run services made of plugins.", parents=[common])
        commands = parser.add_subparsers(metavar="COMMAND", required=True)
        for command in [*_COMMANDS.values(), *extra]:
            sub = commands.add_parser(command.name, help=command.help, description=command.help, parents=[_common(True)])
            sub.set_defaults(run=command.run)
            if command.configure:
                command.configure(sub)
        args = parser.parse_args(arguments)
        if args.run is _version:
            return _version(args, None)
        assembly = assembly or assemble(_settings(args))
        console = args.console = _console(assembly)
        code: int = args.run(args, assembly)
        return code
    except (BaseExceptionGroup, ConfigurationError) as error:
        leaves = flatten(error)
        for leaf in leaves:
            if not isinstance(leaf, Exception):
                raise
            console.error(leaf)
            if leaf.__cause__ and not isinstance(leaf, ConfigurationError):
                log.error("caused by", exc_info=leaf.__cause__)
        return 2 if all(isinstance(leaf, ConfigurationError) for leaf in leaves) else 1


def _common(sub: bool = False) -> ArgumentParser:
    """Options that stand before or behind the command; behind it they have no defaults."""
    from argparse import SUPPRESS

    parser = ArgumentParser(add_help=False, argument_default=SUPPRESS if sub else None)
    add = parser.add_argument
    add("-c", "--config", type=Path, metavar="FILE", help="configuration file (./covet.toml if there is one)")
    add("--set", action="append", metavar="KEY=VALUE", dest="overrides", help="override one value; may be repeated")
    add("--json", action="store_true", help="print JSON for machines")
    return parser


def _path(args: Namespace) -> Path | None:
    return args.config or (Path("covet.toml") if Path("covet.toml").exists() else None)


def _settings(args: Namespace) -> Settings:
    return Settings.load(_path(args), environ=os.environ, overrides=args.overrides or ())


def _console(assembly: Assembly) -> Console:
    consoles: list[Console] = [console for _, console in assembly.declared("covet_console")]
    return consoles[-1] if consoles else PlainConsole()


def _print(args: Namespace, value: Any) -> int:
    print(json.dumps(value, indent=2, default=str))
    return 0


def _version(args: Namespace, assembly: Assembly | None) -> int:
    from importlib.metadata import version

    print(f"covet {version('covet-kernel')}")
    return 0


def _run(args: Namespace, assembly: Assembly) -> int:
    logging.basicConfig(level=args.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    if not find_spec(args.backend):
        raise ConfigurationError(
            "COVET-BACKEND-MISSING", f"{args.backend} is not installed.", fix="pip install 'covet-kernel[trio]'"
        )
    anyio.run(_serve, args, assembly, backend=args.backend)
    return 0


async def _serve(args: Namespace, assembly: Assembly) -> None:
    kernel, begun = Kernel(assembly), perf_counter()
    reloads = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, *reloads) as signals:
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:

                async def watch() -> None:
                    received = 0
                    async for number in signals:
                        if number in reloads:
                            tasks.start_soon(_reload, args, kernel)
                            continue
                        received += 1
                        log.info("%s: %s", signal.Signals(number).name, "draining" if received == 1 else "forced to stop")
                        if received == 1:
                            scope.cancel()
                        else:
                            kernel.force()
                            signal.signal(number, signal.SIG_DFL)

                tasks.start_soon(watch)
                try:
                    async with kernel.running():
                        names = ", ".join(assembly.nodes)
                        log.info("running on %s after %.0f ms: %s", args.backend, 1e3 * (perf_counter() - begun), names)
                        await anyio.sleep_forever()
                finally:
                    tasks.cancel_scope.cancel()
    log.info("stopped")


async def _reload(args: Namespace, kernel: Kernel) -> None:
    try:
        changed = await kernel.reload(assemble(_settings(args)))
        log.info("reloaded: %s", ", ".join(changed) or "nothing has changed")
    except Exception as error:
        for leaf in flatten(error):
            log.error("reload: %s", leaf, exc_info=leaf.__cause__)


def _check(args: Namespace, assembly: Assembly) -> int:
    if args.json:
        return _print(args, {"ok": True, "plugins": list(assembly.nodes)})
    print(f"{len(assembly.nodes)} plugins, ready to start in this order: {', '.join(assembly.nodes)}")
    return 0


def _plugins(args: Namespace, assembly: Assembly) -> int:
    rows = [{**plugin, "enabled": True} for plugin in describe(assembly)["plugins"]]
    types = {row["type"] for row in rows}
    for name, points in installed().items():
        if name not in types:
            origin = " and ".join(f"{point.dist.name} {point.dist.version}" for point in points if point.dist)
            rows.append({"name": name, "type": name, "origin": origin, "enabled": False})
    if args.json:
        return _print(args, rows)
    args.console.table(
        [
            {
                "name": row["name"],
                "status": ("implied by " + row["implied_by"] if row.get("implied_by") else "enabled")
                if row["enabled"]
                else "installed",
                "origin": row["origin"],
                "provides": ", ".join(row.get("provides", ())),
                "requires": ", ".join(row.get("requires", ())),
            }
            for row in rows
        ]
    )
    return 0


def _graph(args: Namespace, assembly: Assembly) -> int:
    plugins = describe(assembly)["plugins"]
    if args.json:
        return _print(args, {plugin["name"]: plugin["depends_on"] for plugin in plugins})
    args.console.graph(plugins)
    return 0


def _config(args: Namespace, assembly: Assembly) -> int:
    from covet_kernel._effective import effective, explain, schema

    if args.what == "schema":
        return _print(args, schema(assembly))
    if args.what == "explain":
        rows = explain(assembly, args.key or "")
    else:
        rows = effective(assembly)
    rows = redacted(rows)
    if args.json:
        return _print(args, rows)
    args.console.table([{key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()} for row in rows])
    return 0


def _configure_run(parser: ArgumentParser) -> None:
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="event loop (asyncio)")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(info)")


def _configure_config(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=("show", "schema", "explain"))
    parser.add_argument("key", nargs="?", help="for explain, such as plugins.http.port")


_COMMANDS = {
    command.name: command
    for command in (
        Command(name="run", help="Start everything and serve until told to stop.", run=_run, configure=_configure_run),
        Command(name="check", help="Validate the configuration and prove the graph.", run=_check),
        Command(name="plugins", help="List enabled and installed plugins.", run=_plugins),
        Command(name="graph", help="Show who needs whom, in the order of start.", run=_graph),
        Command(name="config", help="Show, explain or describe the configuration.", run=_config, configure=_configure_config),
        Command(name="version", help="Print the version.", run=_version),
    )
}
