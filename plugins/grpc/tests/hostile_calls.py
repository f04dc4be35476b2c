"""A service that hostile clients call: it counts what runs, what was called and what came whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.abc
from services.http2 import Raw, frame

import covet_grpc as grpc
from covet_kernel import Plugin
from covet_kernel.contracts import Operation
from covet_operations import operations_of

SERVICE = "hostile.v1.Calls"
BLOCK_SIZE = 10_000


class Calls(Plugin[None]):
    """The service.

    Attributes:
        began: Handlers that were called.
        said: Those of `say`.
        running: Those that have not ended.
        most: The most that have run at once.
        cancelled: Those that were cancelled.
        complete: Streams in that came to their end.
        blocks: Messages that were made for a stream out.
        release: Lets `stubborn` go.
    """

    def __init__(self, config: None) -> None:
        super().__init__(config)
        self.began = self.said = self.running = self.most = self.cancelled = self.complete = (
            self.blocks
        ) = 0
        self.release = anyio.Event()

    def covet_operations(self) -> Iterable[Operation]:
        return operations_of(self)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.began += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    @grpc.unary(f"{SERVICE}/Say")
    async def say(self, text: str) -> str:
        """What was said."""
        self.said += 1
        with self._counted():
            return text

    @grpc.unary(f"{SERVICE}/Wait")
    async def wait(self, text: str) -> None:
        """Awaits what never comes."""
        with self._counted():
            await anyio.sleep_forever()

    @grpc.unary(f"{SERVICE}/Stubborn")
    async def stubborn(self, text: str) -> None:
        """Will not be cancelled before it is released."""
        with self._counted(), anyio.CancelScope(shield=True):
            await self.release.wait()

    @grpc.client_stream(f"{SERVICE}/Collect")
    async def collect(self, items: AsyncIterator[str]) -> int:
        """Takes all that comes."""
        with self._counted():
            count = 0
            async for _ in items:
                count += 1
            self.complete += 1
            return count

    @grpc.bidi(f"{SERVICE}/Repeat")
    async def repeat(self, items: AsyncIterator[str]) -> AsyncIterator[str]:
        """Says what it is told."""
        with self._counted():
            async for each in items:
                yield each

    @grpc.server_stream(f"{SERVICE}/Blocks")
    async def make_blocks(self) -> AsyncIterator[bytes]:
        """Never stops."""
        with self._counted():
            while True:
                self.blocks += 1
                yield b"\0" * BLOCK_SIZE


class Port:
    """Where the clients of `services.http2` find a service that is behind a real port."""

    def __init__(self, port: int) -> None:
        self._port = port

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[anyio.abc.ByteStream]:
        """A connection."""
        async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
            yield stream


def path_of(method: str) -> str:
    """Where a method of the service is."""
    return f"/{SERVICE}/{method}"


def literal(name: bytes, value: bytes) -> bytes:
    """A field that leaves no trace in the tables of HPACK; names and values of less than 127 bytes."""
    return b"\0%c%b%c%b" % (len(name), name, len(value), value)


def head_of(method: str) -> bytes:
    """A block of headers that may be sent on every stream, whatever was sent on others."""
    path = path_of(method).encode()
    return (
        bytes.fromhex("8386") + b"\x04%c%b" % (len(path), path) + bytes.fromhex("410161")
        + literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")
    )  # fmt: skip


def message(text: bytes = b"a") -> bytes:
    """A message whose first field is this text, of less than 123 bytes, as it is sent."""
    return b"\0" + (len(text) + 2).to_bytes(4, "big") + b"\x0a%c%b" % (len(text), text)


def opened(stream: int, method: str, body: bytes = message(), flags: int = 0x1) -> bytes:
    """The frames of a call, whole unless ``flags`` say otherwise."""
    return frame(1, stream, head_of(method), 0x4) + frame(0, stream, body, flags)


async def status_of(client: Raw, stream: int) -> int | None:
    """The status that a call ends with; ``None`` if its stream or its connection ends without."""
    while True:
        found = dict[Any, Any](client.fields.get(stream, ())).get("grpc-status")
        if found is not None:
            return int(found)
        if stream in client.reset or client.closed:
            return None
        await client.step()
