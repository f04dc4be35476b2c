"""The plugin: what channels need of each serving phase, and the rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from covet_kernel import Context, Plugin
from covet_kernel.contracts import BROKER, Capability, Metric
from covet_operations import OPERATIONS
from covet_websocket._config import WebSocketsConfig
from covet_websocket._rooms import ROOMS, Rooms


class WebSockets(Plugin[WebSocketsConfig]):
    """Typed channels over the WebSockets of covet-http."""

    provides = (ROOMS,)
    implies = ("operations", "http")

    def __init__(self, config: WebSocketsConfig) -> None:
        super().__init__(config)
        self._rooms: Rooms | None = None

    @property
    def requires(self) -> Sequence[Capability[Any]]:
        """The operations, and the broker where rooms span processes."""
        broker = self.config.rooms.broker
        return (OPERATIONS, *(() if broker is None else (BROKER.named(broker),)))

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Have rooms."""
        config = self.config.rooms
        broker = None if config.broker is None else ctx.require(BROKER.named(config.broker))
        async with Rooms(config, broker=broker, log=ctx.log).running() as rooms:
            self._rooms = rooms
            ctx.provide(ROOMS, rooms)
            yield

    def covet_metrics(self) -> Iterable[Metric]:
        """How many rooms there are, how large and how far behind."""
        return () if self._rooms is None else self._rooms.metrics()
