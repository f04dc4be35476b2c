"""The plugin: what channels and methods need of each serving phase, and the rooms."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from covet_kernel import Context, Plugin, Serving
from covet_kernel.contracts import BROKER, Capability, Metric, Operation
from covet_operations import OPERATIONS, Pipeline, Provider, provider, providers_of
from covet_websocket._channel._binding import ChannelBinding
from covet_websocket._channel._connection import Connection
from covet_websocket._channel._request import ChannelRequest
from covet_websocket._channel._types import types_of
from covet_websocket._config import WebSocketsConfig
from covet_websocket._rooms import ROOMS, Rooms
from covet_websocket._rpc._binding import MethodBinding
from covet_websocket._rpc._codec import codec
from covet_websocket._rpc._endpoint import RpcEndpoint

if TYPE_CHECKING:
    from covet_operations import ChannelSource


class WebSockets(Plugin[WebSocketsConfig]):
    """Typed channels, and calls of operations, over the WebSockets of covet-http."""

    provides = (ROOMS,)
    implies = ("operations", "http")

    def __init__(self, config: WebSocketsConfig) -> None:
        super().__init__(config)
        self._rpc = None if config.rpc is None else RpcEndpoint(config.rpc)
        self._rooms: Rooms | None = None

    @property
    def requires(self) -> Sequence[Capability[Any]]:
        """The operations, and the broker where rooms span processes."""
        broker = self.config.rooms.broker
        return (OPERATIONS, *(() if broker is None else (BROKER.named(broker),)))

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Have rooms, and the methods of every phase."""
        pipeline, config = ctx.require(OPERATIONS), self.config.rooms
        ctx.compile(lambda serving: self._compile(serving, pipeline))
        broker = None if config.broker is None else ctx.require(BROKER.named(config.broker))
        async with Rooms(config, broker=broker, log=ctx.log).running() as rooms:
            self._rooms = rooms
            ctx.provide(ROOMS, rooms)
            yield

    def covet_metrics(self) -> Iterable[Metric]:
        """How many rooms there are, how large and how far behind."""
        return () if self._rooms is None else self._rooms.metrics()

    def _compile(self, serving: Serving, pipeline: Pipeline) -> None:
        if self._rpc is not None:
            self._rpc.begin(pipeline.compile(serving, MethodBinding, codec))

    def covet_operations(self) -> Iterable[Operation]:
        """What answers handshakes of those who call methods."""
        return () if self._rpc is None else self._rpc.operations()

    def covet_providers(self) -> Iterable[Provider]:
        """What a channel's handler takes."""
        return providers_of(self)

    def covet_channels(self) -> Iterable[ChannelSource]:
        """Channels and methods, for the contract."""
        from covet_websocket._described import described

        yield lambda view: described(view, self.config)

    @provider()
    async def connection(self, request: ChannelRequest) -> AsyncGenerator[Connection[Any, Any]]:
        """The client of a channel."""
        binding = request.binding
        assert isinstance(binding, ChannelBinding), "of no other is the call a ChannelRequest"
        config = self.config
        made: Connection[Any, Any] = Connection(
            request.websocket,
            types_of(request.operation, Connection),
            closes=binding.on_invalid == "close",
            ack_timeout=config.ack_timeout,
            max_unacknowledged=config.max_unacknowledged,
        )
        yield made
        await made.conclude()
