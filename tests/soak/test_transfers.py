"""Coins are moved between accounts while their database, the way to it and the movers are in trouble."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from services.durable import MADE, durable
from services.proxy import proxy
from services.transfers import TABLES, Transfers

PATIENCE = 60


@pytest.mark.parametrize("kind", MADE)
async def test_coins_are_neither_made_nor_lost(
    kind: str, unfinished: Callable[[], bool], record_property: Callable[[str, Any], None]
) -> None:
    chance = random.Random()
    counts: Counter[str] = Counter()
    with durable(kind) as subject:
        subject.run(*TABLES)
        transfers = Transfers(chance.randrange(2**32))
        async with (
            proxy(subject.server.port) as between,
            subject.opened(between.port, pool_size=4, acquire_timeout=2.0) as database,
        ):

            async def trouble() -> None:
                match chance.choice(["cancel"] * 20 + ["cut"] * 4 + ["silence", "full", "kill"]):
                    case "cancel":
                        transfers.cancel_one()
                    case "cut":
                        between.cut_after = chance.randrange(1, 2000)
                    case "silence":
                        between.silent = True
                        await anyio.sleep(0.3)
                        between.silent = False
                    case "full":
                        with subject.disk.full():
                            await anyio.sleep(0.3)
                        if subject.server.ended:
                            subject.server.stop()
                            subject.server.start()
                            counts["died of a full disk"] += 1
                    case "kill":
                        subject.server.stop(signal.SIGKILL)
                        subject.server.start()
                        counts["kills"] += 1

            rounds = 0
            while unfinished() or not rounds:
                rounds += 1
                async with anyio.create_task_group() as tasks:
                    for task in range(8):
                        tasks.start_soon(transfers.work, task, database)
                    for _ in range(100):
                        await anyio.sleep(chance.uniform(0, 0.05))
                        await trouble()
                    between.cut_after = None
                    enough = len(transfers.happened) + 1
                    with anyio.fail_after(PATIENCE):
                        while len(transfers.happened) < enough:
                            await anyio.sleep(0.01)
                    tasks.cancel_scope.cancel()
                await transfers.check(database)
    record_property("moves", f"{len(transfers.happened):,}")
    record_property("refused or cancelled", f"{transfers.refused:,}")
    for what, count in counts.items():
        record_property(what, count)
