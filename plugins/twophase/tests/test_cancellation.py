"""Cancelled anywhere, a block has happened on both databases or on neither, and nothing is left."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel
from services.pair import BANK, STOCK, TAKE, Pair, transfer

from covet_kernel.testing import cancel_at_every_await

POINTS = [
    "begun 1", "begun 2", "prepared 1", "prepared 2", "all prepared", "decided", "committed 1",
    "committed 2", "forgotten",
]  # fmt: skip
DECIDED = POINTS.index("decided")


# bad input 73
async def test_cancelled_at_every_await(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:

        async def run() -> None:
            await transfer(two_phase)

        async def check() -> None:
            await pair.resolved(two_phase)
            shop, bank = pair.amounts()
            assert shop + bank == 2 * STOCK
            assert shop == STOCK - two_phase.counts.committed
            assert two_phase.recovery.active == set()

        assert await cancel_at_every_await(run, check=check) > 5
        assert two_phase.counts.committed >= 1


async def test_cancelled_at_a_point_of_the_protocol(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        for number, at in enumerate(POINTS):
            pair.refill()
            scope = anyio.CancelScope()
            two_phase.reached = partial(cancel_at, at, scope)
            with scope:
                await transfer(two_phase)
                await anyio.lowlevel.checkpoint()
            assert scope.cancelled_caught, at
            await pair.resolved(two_phase)
            shop, bank = pair.amounts()
            assert shop + bank == 2 * STOCK, at
            if number >= DECIDED:
                assert shop == STOCK - 1, at
            elif at.startswith("begun"):
                assert shop == STOCK, at
        two_phase.reached = lambda point: None
        await transfer(two_phase)


def cancel_at(at: str, scope: anyio.CancelScope, point: str) -> None:
    """What a coordinator calls at each point, to be cancelled at one."""
    if point == at:
        scope.cancel()


async def test_a_deadline_ends_a_block_that_waits_for_a_lock(pair: Pair) -> None:
    async with pair.coordinator() as two_phase:
        held = anyio.Event()
        let_go = anyio.Event()

        async def hold() -> None:
            async with two_phase.transaction() as tx:
                await (await tx.session(BANK)).execute(TAKE, (0, 1))
                held.set()
                await let_go.wait()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await held.wait()
            with anyio.move_on_after(0.2) as scope:
                await transfer(two_phase)
            assert scope.cancelled_caught
            let_go.set()
        assert pair.amounts() == (STOCK, STOCK)
        await transfer(two_phase)
        assert pair.amounts() == (STOCK - 1, STOCK + 1)
