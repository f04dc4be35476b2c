"""Killed at every step, and started again: all is there or nothing, and nothing is left prepared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from services.pair import STOCK, Pair

pytestmark = pytest.mark.once

HERE = Path(__file__)
TESTS = HERE.parents[3] / "tests"

BEFORE = [
    "begun 1", "begun 2", "prepared 1", "prepared 2", "all prepared", "before the log",
    "half of a line",
]  # fmt: skip
AFTER = ["before it is synced", "decided", "committed 1", "committed 2", "forgotten", "never"]

Crash = Callable[[Pair, str, str], int]


@pytest.fixture(scope="module")
def crash() -> Iterator[Crash]:
    """Runs a transfer that is killed at a point; how its process ended."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, str(HERE.with_name("crash.py"))],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(pair: Pair, point: str, backend: str) -> int:
            order = {"point": point, "backend": backend, "amount": 1, "folder": str(pair.folder),
                     "shop": pair.shop, "bank": pair.bank}  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield run
        process.stdin.close()


async def recovered(pair: Pair) -> None:
    """Start the service again and wait until nothing is in doubt."""
    async with pair.coordinator() as coordinator:
        await pair.settled()
        with anyio.fail_after(60):
            while coordinator.recovery.doubts:
                await anyio.sleep(0.02)
        assert coordinator.log.decisions == {}


@pytest.mark.parametrize("point", BEFORE + AFTER)
def test_killed_at_any_step_it_is_all_or_nothing(pair: Pair, crash: Crash, point: str) -> None:
    backends = ["asyncio", "trio"]
    if (BEFORE + AFTER).index(point) % 2:
        backends.reverse()
    ended = crash(pair, point, backends[0])
    assert ended == (0 if point == "never" else -signal.SIGKILL)
    anyio.run(recovered, pair, backend=backends[1])
    moved = int(point in AFTER)
    assert pair.amounts() == (STOCK - moved, STOCK + moved)
    assert pair.prepared() == []


def test_killed_again_and_again_while_it_recovers(pair: Pair, crash: Crash) -> None:
    for point in ("decided", "all prepared", "committed 1", "before it is synced"):
        crash(pair, point, "asyncio")
    anyio.run(recovered, pair)
    shop, bank = pair.amounts()
    assert shop + bank == 2 * STOCK
    assert shop == STOCK - 3
    assert len([*pair.folder.glob("twophase/*.log")]) == 1
