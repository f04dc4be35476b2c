"""Runs transfers that are killed at a point of the protocol, each in a process of its own.

It reads lines of JSON and answers each with how the process ended. Everything is loaded once; the
processes are forks of this one, which has no threads and no event loop.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio._backends._asyncio
import anyio._backends._trio
import psycopg
from services.pair import Pair, transfer

from covet_sql import profile
from covet_twophase import TwoPhasePlugin, _file
from covet_twophase._coordinator import Coordinator

LOADED = psycopg, profile


def die() -> None:
    """As `kill -9` has it."""
    os.kill(os.getpid(), signal.SIGKILL)


class Killed(Coordinator):
    """One that ends the process at a point."""

    point = ""

    def reached(self, point: str) -> None:
        if point == self.point:
            die()


def prepare(point: str) -> None:
    """Have the log end the process, for the points that are in there."""
    Killed.point = point
    write, sync, started = _file._write, os.fsync, False

    def writes(descriptor: int, data: bytes) -> None:
        if started and point == "before the log":
            die()
        if started and point == "half of a line":
            write(descriptor, data[: len(data) // 2])
            die()
        write(descriptor, data)

    def syncs(descriptor: int) -> None:
        if started and point == "before it is synced":
            die()
        sync(descriptor)

    _file._write, _file.os.fsync = writes, syncs

    def reached(self: Coordinator, at: str) -> None:
        nonlocal started
        started = True
        Killed.reached(self, at)

    Plugin.coordinator_type = type("Reaching", (Killed,), {"reached": reached})


class Plugin(TwoPhasePlugin):
    """With such a coordinator."""


async def main(pair: Pair, amount: int) -> None:
    async with pair.kernel(Plugin) as kernel:
        from covet_twophase import TWO_PHASE

        await transfer(kernel.require(TWO_PHASE), amount)


def run(order: dict[str, Any]) -> None:
    """In the child."""
    prepare(order["point"])
    pair = Pair(Path(order["folder"]), order["shop"], order["bank"])
    anyio.run(main, pair, order["amount"], backend=order["backend"])


for line in sys.stdin:
    if (child := os.fork()) == 0:
        run(json.loads(line))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
