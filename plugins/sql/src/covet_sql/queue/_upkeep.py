"""Measures a table from time to time, and removes from it what was kept for long enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from logging import Logger

import anyio

from covet_kernel.contracts import SqlError

MEASURE = 10.0
"""Seconds between two measurements."""
SWEEP = 300.0
"""Seconds between two sweeps; one that has left something goes on sooner."""
BREATH = 0.1


class Upkeep:
    """Runs beside who works the table off.

    Args:
        measure: Looks at the table.
        sweep: Removes a batch of what is too old; whether there may be more.
        log: Is told of trouble.
    """

    def __init__(
        self,
        measure: Callable[[], Awaitable[None]],
        sweep: Callable[[], Awaitable[bool]],
        log: Logger,
    ) -> None:
        self._measure = measure
        self._sweep = sweep
        self._log = log

    async def run(self) -> None:
        """Measure and sweep, until cancelled."""
        sweep_at = anyio.current_time()
        while True:
            try:
                await self._measure()
                if anyio.current_time() >= sweep_at:
                    more = await self._sweep()
                    sweep_at = anyio.current_time() + (BREATH if more else SWEEP)
            except SqlError as error:
                self._log.warning("the tables cannot be looked after: %s", error)
            await anyio.sleep(max(BREATH, min(MEASURE, sweep_at - anyio.current_time())))
