"""Framed TCP as a plugin: sockets live as long as the plugin, calls as long as their phase."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskStatus
from anyio.streams.stapled import MultiListener
from operations_testbed.client import dumps
from operations_testbed.flights import Endpoints, Flights
from operations_testbed.framed import Framed, FramedClient, codec, serve_frames
from operations_testbed.framing import pack

from covet_kernel import Context, Plugin, Serving
from covet_kernel.contracts import Capability
from covet_operations import OPERATIONS

FRAMED_PORT: Final = Capability[int]("framed.port")


class FramedTcp(Plugin[None]):
    """Serves every operation that has a `Framed` binding."""

    requires = (OPERATIONS,)
    provides = (FRAMED_PORT,)
    implies = ("operations",)

    @asynccontextmanager
    async def covet_lifespan(self, ctx: Context) -> AsyncIterator[None]:
        pipeline, flights = ctx.require(OPERATIONS), Flights()
        endpoints: Endpoints = {}

        def compile_all(serving: Serving) -> None:
            nonlocal endpoints
            found = pipeline.compile(serving, Framed, codec)
            endpoints = {each.binding.address: each for each in found}

        async def serve(serving: Serving) -> None:
            await flights.serve(serving, endpoints)
            if serving.stopping:
                accepting.cancel()

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with anyio.create_task_group() as tasks:
            accepting = await tasks.start(_accept, listener, flights)
            ctx.provide(FRAMED_PORT, listener.extra(SocketAttribute.local_port))
            ctx.compile(compile_all)
            ctx.serve(serve)
            yield
            tasks.cancel_scope.cancel()


async def _accept(
    listener: MultiListener[SocketStream],
    flights: Flights,
    *,
    task_status: TaskStatus[anyio.CancelScope],
) -> None:
    """Until the scope is cancelled; connections go on until the client ends them, or the plugin."""
    async with anyio.create_task_group() as connections:
        async with listener:
            with anyio.CancelScope() as scope:
                task_status.started(scope)
                await listener.serve(partial(serve_frames, flights), connections)


class TcpClient(FramedClient):
    """One connection for calls, and others for callers that vanish."""

    def __init__(self, stream: SocketStream, port: int) -> None:
        super().__init__(stream)
        self._port = port

    @asynccontextmanager
    async def vanishing(
        self, name: str, data: dict[str, Any], *, token: str = "", items: Sequence[Any] = ()
    ) -> AsyncIterator[None]:
        """A call in flight, whose caller closes its socket without a word when the block ends."""
        frames = [{"id": 1, "op": name, "data": data, "token": token}]
        frames += [{"id": 1, "item": item} for item in items]
        async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
            await stream.send(b"".join(pack(dumps(frame)) for frame in frames))
            yield


@asynccontextmanager
async def tcp_client(port: int) -> AsyncIterator[TcpClient]:
    async with (
        await anyio.connect_tcp("127.0.0.1", port) as stream,
        anyio.create_task_group() as tasks,
    ):
        client = TcpClient(stream, port)
        tasks.start_soon(client.read)
        yield client
        tasks.cancel_scope.cancel()
