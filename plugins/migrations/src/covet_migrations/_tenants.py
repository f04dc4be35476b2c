"""The same words for what each tenant has: one after the other, or in several processes at once.

Processes, since Alembic keeps what is going on in variables of its modules.
"""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from covet_kernel import Assembly, ConfigurationError, LifecycleError, Plugin
from covet_migrations._cli import WORDS, say
from covet_migrations._config import MigrationsConfig
from covet_migrations._migrator import Migrator, no_sources
from covet_migrations._sources import blocking_database, sources
from covet_sql.driver import HasTenants

EACH = ("upgrade", "downgrade", "status")
"""Words that can be said of several tenants."""
MOST = 64


def run_tenants(config: MigrationsConfig, args: Namespace, assembly: Assembly) -> int:
    """Do what ``args.word`` says for the tenants that ``args.tenant`` names; the exit code.

    A tenant that fails does not keep the others from being seen to.

    Raises:
        ConfigurationError: There are no such tenants, or it cannot be done for several.
        LifecycleError: Some failed; names them.
    """
    directory = assembly.settings.directory
    plugin = _plugin(assembly, args.database)
    base_name, name = plugin.tenants_of
    base = blocking_database(assembly.hooks, directory, base_name)
    chosen = _chosen(args.tenant, plugin.tenant_names(base))
    if args.word not in EACH and len(chosen) != 1:
        raise _refused(f"covet db {args.word} is for one tenant", EACH, args.word)
    if not 1 <= args.jobs <= MOST:
        raise _refused(f"{args.jobs} processes are not between 1 and {MOST}", (), "")
    if args.word == "upgrade" and not args.sql and args.jobs > 1 and len(chosen) > 1:
        return _concurrently(args, chosen)
    found = sources(assembly.hooks, directory, config, name)
    if not found:
        raise no_sources()

    def one(tenant: str) -> int:
        migrator = Migrator(
            plugin.tenant_database(base, tenant, directory),
            found,
            wait=config.wait,
            lock_timeout=config.lock_timeout,
            report=lambda line: say(f"{tenant}: {line}"),
        )
        return WORDS[args.word](args, migrator)

    if args.word != "upgrade":
        return max([one(each) for each in chosen])
    return _one_by_one(chosen, one)


def _plugin(assembly: Assembly, wanted: str) -> HasTenants:
    known = {
        plugin.tenants_of[1]: plugin
        for _, plugin in assembly.hooks.list_name_plugin()
        if isinstance(plugin, Plugin) and isinstance(plugin, HasTenants)
    }
    if not wanted and len(known) == 1:
        return next(iter(known.values()))
    if wanted not in known:
        raise ConfigurationError(
            "COVET-MIGRATION-DATABASE",
            "no enabled plugin knows of tenants." if not known else "which tenants is not known.",
            valid=sorted(known),
            given=wanted,
            fix="Enable one, [plugins.tenants], and name it with --database if there are several.",
        )
    return known[wanted]


def _chosen(given: str, known: Sequence[str]) -> list[str]:
    if given == "all":
        if not known:
            raise _refused("there are no tenants", (), "")
        return list(known)
    chosen = list(dict.fromkeys(given.split(",")))
    for each in chosen:
        if each not in known:
            raise _refused(f"there is no tenant {each!r}", known, each)
    return chosen


def _refused(problem: str, valid: Sequence[str], given: str) -> ConfigurationError:
    return ConfigurationError(
        "COVET-MIGRATION-TENANT",
        f"{problem}.",
        valid=valid,
        given=given,
        fix="Name tenants with commas between them, or 'all'.",
    )


def _one_by_one(chosen: Sequence[str], one: Callable[[str], int]) -> int:
    codes: dict[str, int] = {}
    for number, tenant in enumerate(chosen, 1):
        try:
            codes[tenant] = one(tenant)
        except (ConfigurationError, LifecycleError) as error:
            say(f"{tenant}: {error}")
            codes[tenant] = 1
        say(f"{number}/{len(chosen)} {tenant}: {'done' if not codes[tenant] else 'see above'}")
    return _told([tenant for tenant, code in codes.items() if code], len(chosen))


def _concurrently(args: Namespace, chosen: Sequence[str]) -> int:
    """One process for each share of the tenants."""
    shares = [chosen[number :: args.jobs] for number in range(args.jobs)]
    lock, done, failed = Lock(), 0, list[str]()

    def share(tenants: Sequence[str]) -> None:
        nonlocal done
        process = subprocess.Popen(  # noqa: S603 - this program itself, with tenants that it knows
            [sys.executable, "-m", "covet_cli", *_words(args, tenants)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ,
        )
        left = list(tenants)
        assert process.stdout is not None
        with process, process.stdout as lines:
            for line in lines:
                # How many it has done is of its share; all of them together are counted here.
                count, _, rest = line.rstrip("\n").partition(" ")
                tenant, _, outcome = rest.partition(": ")
                with lock:
                    if "/" in count and tenant in left and outcome in ("done", "see above"):
                        done += 1
                        left.remove(tenant)
                        failed.extend([tenant] if outcome != "done" else [])
                        say(f"{done}/{len(chosen)} {tenant}: {outcome}")
                    elif line.strip() and left:
                        say(line.rstrip("\n"))
        with lock:
            failed.extend(left)

    with ThreadPoolExecutor(len(shares)) as pool:
        list(pool.map(share, [each for each in shares if each]))
    return _told(sorted(failed), len(chosen))


def _words(args: Namespace, tenants: Sequence[str]) -> list[str]:
    words = ["db", args.word, args.revision, "--tenant", ",".join(tenants), "--jobs", "1"]
    if args.database:
        words += ["--database", args.database]
    if config := getattr(args, "config", None):
        words += ["-c", str(Path(config))]
    for each in getattr(args, "overrides", None) or ():
        words += ["--set", each]
    return words


def _told(failed: Sequence[str], count: int) -> int:
    if failed:
        raise LifecycleError(
            "COVET-MIGRATION-FAILED",
            f"{len(failed)} of {count} tenants are not there: {', '.join(failed)}.",
            fix="What is wrong with each is told above; the others are there.",
        )
    return 0
