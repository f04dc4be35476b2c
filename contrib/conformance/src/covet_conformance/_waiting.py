"""Limits for what must not hang, so that a broken implementation fails instead of stopping the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from covet_kernel.testing import cancel_at_every_await


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Fail if the block takes longer. Generous: it is there for what would never end."""
    with anyio.move_on_after(seconds) as scope:
        yield
    assert not scope.cancelled_caught, f"{what} did not end within {seconds} s"


async def settled() -> None:
    """Let other tasks run until they wait for something."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def cancelled_everywhere(
    scenario: Callable[[], Awaitable[object]],
    check: Callable[[], Awaitable[object]],
    patience: float,
) -> int:
    """`cancel_at_every_await`, where no run and no check may hang; at how many awaits it was."""

    async def run() -> None:
        async with within(patience, "a cancelled run"):
            await scenario()

    async def see() -> None:
        async with within(patience, "the use after a cancelled run"):
            await check()

    return await cancel_at_every_await(run, check=see)
