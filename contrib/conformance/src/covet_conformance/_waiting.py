"""Limits for what must not hang, so that a broken implementation fails instead of stopping the run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel


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
