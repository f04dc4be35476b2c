"""``covet shards``: its arguments, and what its words do."""

from __future__ import annotations

import json
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covet_kernel import ConfigurationError
from covet_kernel.contracts import Command
from covet_sharding._config import ShardingConfig
from covet_sql.command import run_alone

if TYPE_CHECKING:
    from covet_kernel import Assembly, Kernel
    from covet_sharding._job import Job
    from covet_sharding._shards import Shards


def shards_command() -> Command:
    """The sub-command."""
    return Command(
        name="shards",
        help="Show which shard has what, and move buckets while the service runs.",
        run=_run,
        configure=_configure,
    )


def _configure(parser: ArgumentParser) -> None:
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)

    def add(name: str, text: str) -> ArgumentParser:
        sub: ArgumentParser = words.add_parser(
            name, help=text, description=text, argument_default=SUPPRESS
        )
        sub.add_argument("--sharding", metavar="NAME", help="of the plugin instance (the only one)")
        return sub

    parser.set_defaults(sharding="", buckets=[], all=False, source="", key="", count=0)
    add("status", "Show how many buckets each shard has, and the moves that have not ended.")
    sub = add("map", "Show the shard of each bucket, or of one key.")
    sub.add_argument("--key", help="only the bucket that this key is in")
    sub = add("move", "Move buckets to another shard, while they are written to.")
    sub.add_argument("buckets", nargs="*", metavar="BUCKET", help="a directory's are its keys")
    sub.add_argument("--all", action="store_true", help="every bucket of the shard --from")
    sub.add_argument("--count", type=int, metavar="N", help="with --all: only so many of them")
    sub.add_argument("--from", dest="source", metavar="SHARD", help="with --all: where they are")
    sub.add_argument("--to", dest="target", required=True, metavar="SHARD", help="where they go")
    add("resume", "Go on with moves that have not ended: after a kill, or a database's failure.")


def _run(args: Namespace, assembly: Assembly) -> int:
    from covet_sharding._shards import SHARDS

    name = _instance(args, assembly)
    config: ShardingConfig = assembly.nodes[name].plugin.config

    async def work(kernel: Kernel) -> int:
        shards = kernel.require(SHARDS.named(name.partition("/")[2]))
        code: int = await WORDS[args.word](args, shards, config)
        return code

    return run_alone(assembly, [name], work)


def _instance(args: Namespace, assembly: Assembly) -> str:
    known = [name for name in assembly.nodes if name.partition("/")[0] == "sharding"]
    if args.sharding in known or (not args.sharding and len(known) == 1):
        return args.sharding or known[0]
    raise ConfigurationError(
        "COVET-SHARD-MOVE",
        "which sharded database is meant is not known.",
        valid=known,
        given=args.sharding,
        fix="Name the plugin instance: --sharding.",
    )


def say(line: str) -> None:
    """A line for whoever waits, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _status(args: Namespace, shards: Shards, config: ShardingConfig) -> int:
    from covet_sharding._job import Jobs

    used, jobs = await shards.map.used(), await Jobs(shards.map).all()
    counts = [{"shard": each, "buckets": used.get(each, 0)} for each in shards.names]
    if args.json:
        moves = [_about(each) for each in jobs]
        version = shards.map.version
        say(json.dumps({"version": version, "shards": counts, "moves": moves}, indent=2))
        return 0
    say(f"map {shards.map.version} of {shards.map.strategy.description!r}")
    args.console.table([{key: str(value) for key, value in row.items()} for row in counts])
    for job in jobs:
        about = _about(job)
        say(
            f"{job.source} -> {job.target}: {about['moved']} of {len(job.steps)} buckets moved,"
            f" {job.copied} rows copied; if nobody is at it: covet shards resume"
        )
    return 0


def _about(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "source": job.source,
        "target": job.target,
        "buckets": sorted(job.steps),
        "moved": len(job.at("moved")),
        "copied": job.copied,
    }


async def _map(args: Namespace, shards: Shards, config: ShardingConfig) -> int:
    if args.key:
        bucket = shards.map.strategy.bucket(args.key)
        rows = {bucket: await shards.map.find(bucket)}
    elif not shards.map.strategy.complete:
        raise ConfigurationError(
            "COVET-SHARD-MOVE",
            "a directory may have very many entries.",
            fix="Name the one that is wanted: --key.",
        )
    else:
        rows = dict(shards.map.buckets)
    table = [
        {"bucket": name, "shard": place.shard, "epoch": str(place.epoch)}
        for name, place in rows.items()
    ]
    if args.json:
        say(json.dumps(table, indent=2))
    else:
        args.console.table(table)
    return 0


async def _move(args: Namespace, shards: Shards, config: ShardingConfig) -> int:
    from covet_sharding._mover import Mover

    buckets = list(args.buckets)
    if args.all:
        if buckets or args.source not in shards.names:
            raise ConfigurationError(
                "COVET-SHARD-MOVE",
                "--all takes every bucket of one shard.",
                valid=shards.names,
                given=args.source,
                fix="Name that with --from, and no buckets.",
            )
        known = shards.map.buckets.items()
        buckets = [name for name, place in known if place.shard == args.source]
        buckets = buckets[: args.count or len(buckets)]
    if not args.all and shards.map.strategy.complete:
        wrong = [each for each in buckets if each not in shards.map.buckets]
        if wrong:
            raise ConfigurationError(
                "COVET-SHARD-MOVE",
                f"there is no bucket {wrong[0]!r}.",
                fix="covet shards map --key tells the bucket of a key.",
            )
    if not buckets:
        say("nothing to move")
        return 0
    copied = await Mover(shards, config, report=say).move(buckets, args.target)
    say(f"{len(buckets)} buckets moved to {args.target}, {copied} rows")
    return 0


async def _resume(args: Namespace, shards: Shards, config: ShardingConfig) -> int:
    from covet_sharding._job import Jobs
    from covet_sharding._mover import Mover

    for job in await Jobs(shards.map).all():
        copied = await Mover(shards, config, report=say).resume(job.id)
        say(f"{len(job.steps)} buckets moved to {job.target}, {copied} rows")
    say("nothing is under way")
    return 0


WORDS: dict[str, Callable[[Namespace, Shards, ShardingConfig], Any]] = {
    "status": _status,
    "map": _map,
    "move": _move,
    "resume": _resume,
}
