"""A proxy between a client and a server on loopback, that misbehaves as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketAttribute, SocketStream


class Proxy:
    """Forwards each connection, until it is told otherwise.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        cut_after: Bytes of the server's, over all connections, after which both sides are cut.
        silent: Nothing is forwarded any more, and nothing is closed.
        deaf: What the server says is dropped; what is said to it arrives.
        delay: Seconds that whatever is said takes to arrive.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self.port = 0
        self.cut_after: int | None = None
        self.silent = False
        self.deaf = False
        self.delay = 0.0
        self._sides: set[SocketStream] = set()

    async def cut(self) -> None:
        """Cut every connection."""
        self.cut_after = None
        for side in tuple(self._sides):
            await side.aclose()

    async def serve(self, client: SocketStream) -> None:
        """Forward one connection."""
        async with client:
            try:
                server = await anyio.connect_tcp("127.0.0.1", self._to_port)
            except OSError:
                return
            async with server, anyio.create_task_group() as tasks:
                sides = {client, server}
                self._sides |= sides
                tasks.start_soon(self._forward, client, server, False)
                await self._forward(server, client, True)
                tasks.cancel_scope.cancel()
            self._sides -= sides

    async def _forward(
        self, source: ByteReceiveStream, target: ByteSendStream, counted: bool
    ) -> None:
        try:
            while True:
                data = await source.receive()
                if self.delay:
                    await anyio.sleep(self.delay)
                while self.silent:
                    await anyio.sleep(0.01)
                if counted and self.deaf:
                    continue
                if counted and self.cut_after is not None:
                    data = data[: self.cut_after]
                    self.cut_after -= len(data)
                    if data:
                        await target.send(data)
                    if not self.cut_after:
                        await self.cut()
                        return
                else:
                    await target.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            return
        finally:
            if not counted:
                await source.aclose()


@asynccontextmanager
async def proxy(to_port: int) -> AsyncIterator[Proxy]:
    """A proxy to a port on loopback, for the block."""
    one = Proxy(to_port)
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        one.port = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, one.serve)
        try:
            yield one
        finally:
            tasks.cancel_scope.cancel()
