"""What the words of ``covet twophase`` do."""

from __future__ import annotations

import json
import logging
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from covet_kernel import ConfigurationError, Kernel
from covet_kernel.contracts import SQL, SqlError
from covet_sql.command import run_alone
from covet_sql.driver import Branching
from covet_twophase._config import TwoPhaseConfig
from covet_twophase._counts import Counts
from covet_twophase._file import peek
from covet_twophase._folder import Logs, unusable
from covet_twophase._names import BranchName
from covet_twophase._plugin import driver_of
from covet_twophase._records import Content, DamagedError
from covet_twophase._recovery import Recovery

if TYPE_CHECKING:
    from covet_kernel import Assembly


class Waiting(NamedTuple):
    """A branch that waits for its end.

    Attributes:
        database: Where, by the name of the instance.
        branch: Its name.
        age: Seconds, if they are known.
        decided: What its log says: ``"commit"``, ``"not yet"`` while its process runs, ``"roll back"`` when
            that is no more, or, if there is no such log, ``"unknown"``.
        running: A process has the log, and ends the branch itself.
    """

    database: str
    branch: str
    age: float | None
    decided: str
    running: bool


def say(line: str) -> None:
    """A line for whoever waits."""
    sys.stdout.write(f"{line}\n")


def run(config: TwoPhaseConfig, args: Namespace, assembly: Assembly) -> int:
    """Do what ``args.word`` says; the exit code.

    Raises:
        CovetError: It cannot be done.
    """
    folder = assembly.settings.directory / config.log
    wanted = {SQL.named(name) for name in config.databases}
    providers = [name for name, node in assembly.nodes.items() if wanted & set(node.provides)]

    async def work(kernel: Kernel) -> int:
        found = {
            name: driver_of(name, kernel.require(SQL.named(name)), "twophase")
            for name in config.databases
        }
        if args.word == "list":
            return await _list(args, found, folder)
        if args.branch:
            return await _end(args, found, folder)
        return await _resolve(config, found, folder)

    return run_alone(assembly, providers, work)


def _contents(folder: Path) -> dict[str, tuple[Content, bool]]:
    """What the logs of the folder say, and whether a process has each."""
    found = {}
    for path in sorted(folder.glob("*.log")):
        try:
            content, running = peek(path)
        except (DamagedError, OSError) as error:
            raise unusable(path, str(error)) from error
        found[content.coordinator] = content, running
    return found


async def _waiting(databases: Mapping[str, Branching], folder: Path) -> list[Waiting]:
    logs = _contents(folder)
    found = []
    for name, database in databases.items():
        for each in await database.prepared():
            branch = BranchName.read(each.name)
            if branch is None:
                continue
            content, running = logs.get(branch.coordinator, (None, False))
            decided = "unknown"
            if content is not None:
                decided = "not yet" if running else "roll back"
                if branch.transaction in content.decisions:
                    decided = "commit"
            found.append(Waiting(name, each.name, each.age, decided, running))
    return found


async def _list(args: Namespace, databases: Mapping[str, Branching], folder: Path) -> int:
    found = await _waiting(databases, folder)
    if args.json:
        say(json.dumps([each._asdict() for each in found], indent=2))
    elif not found:
        say("nothing is in doubt")
    else:
        args.console.table(
            [
                {
                    "database": each.database or "(default)",
                    "branch": each.branch,
                    "age": "" if each.age is None else f"{each.age:.0f} s",
                    "decided": each.decided,
                    "log": "in use" if each.running else "left",
                }
                for each in found
            ]
        )
    return int(bool(found))


async def _resolve(config: TwoPhaseConfig, databases: Mapping[str, Branching], folder: Path) -> int:
    logs = Logs(folder)
    counts = Counts()
    done = True
    logs.hold(logs.take_over())
    try:
        recovery = Recovery(
            databases,
            logs,
            config,
            counts,
            lambda event, **data: (
                say(f"{data['branch']}: {data['outcome']}")
                if event == "twophase.recovered"
                else None
            ),
            lambda name: None,
            logging.getLogger("covet.twophase"),
        )
        for name in databases:
            done &= await recovery.resolve(name)
    finally:
        await logs.close()
    say(f"{sum(counts.recovered.values())} ended")
    return int(not done)


async def _end(args: Namespace, databases: Mapping[str, Branching], folder: Path) -> int:
    if not (args.commit or args.rollback):
        raise _refused(
            args.branch, "how it is to be ended is not said", "Say --commit or --rollback."
        )
    found = [each for each in await _waiting(databases, folder) if each.branch == args.branch]
    if not found:
        raise _refused(args.branch, "there is none of that name", "See 'covet twophase list'.")
    each = found[0]
    wanted = "commit" if args.commit else "roll back"
    if each.running:
        raise _refused(
            args.branch, "a process has its log, and ends it itself", "Look at its health."
        )
    if each.decided not in ("unknown", wanted):
        raise _refused(
            args.branch, f"its log says: {each.decided}", "Have it done: covet twophase resolve"
        )
    try:
        ended = await databases[each.database].end_prepared(each.branch, commit=args.commit)
    except SqlError as error:
        raise _refused(args.branch, str(error), "See the server's log.") from error
    say(f"{each.branch}: {wanted if ended else 'somebody else is ending it'}")
    return int(not ended)


def _refused(branch: str, problem: str, fix: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-TWOPHASE-BRANCH", f"branch {branch!r} is not ended: {problem}.", fix=fix
    )
