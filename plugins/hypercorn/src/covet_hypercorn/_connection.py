"""One accepted connection: Hypercorn's protocol driven over an anyio stream.

This is the part Hypercorn has twice, once per event loop, and where a connection's failure used
to be the server's. Here it is written once, and `Connection.run` never raises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.abc
import anyio.lowlevel
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError
from hypercorn.typing import ConnectionState, LifespanState

from covet_hypercorn._exchange import Exchange
from covet_hypercorn._protocol import H1, H2

if TYPE_CHECKING:
    from covet_hypercorn._listener import Listener

log = logging.getLogger("covet.hypercorn")

_NEVER = float("inf")
_READ = 65536
# A refused request's remaining bytes are read and dropped up to here, so that closing does not
# reset the connection under the answer.
_DISCARD_BYTES = 256 * 1024
_DISCARD_SECONDS = 1.0
# GOAWAY for the highest stream: no new streams, please; those you sent are answered.
_GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00"


Addresses: TypeAlias = "tuple[tuple[str, int] | None, tuple[str, int] | None]"
"""Of the client and of this end."""


class _Flag:
    """The event type Hypercorn's protocols are written against."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    async def clear(self) -> None:
        if self._event.is_set():
            self._event = anyio.Event()

    async def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()

    def is_set(self) -> bool:
        return self._event.is_set()


class _WorkerContext:
    """Hypercorn's per-worker state. Its protocols read only these; draining is not done here."""

    event_class = _Flag

    def __init__(self) -> None:
        self.terminated = _Flag()

    async def mark_request(self) -> None: ...


class Connection:
    """Drives one connection and keeps its timeouts.

    Attributes:
        read_by: When to give up waiting for the client's bytes, on `monotonic`'s clock.
        write_by: When to give up waiting for the client to read.
        idle: Between two requests.
    """

    def __init__(
        self, listener: Listener, stream: anyio.abc.SocketStream, addresses: Addresses
    ) -> None:
        self._listener = listener
        self._options = listener.options
        self._stream = stream
        self._addresses = addresses
        self.calls = listener.calls
        self.idle = True
        self.read_by = monotonic() + listener.patience
        self.write_by = _NEVER
        self._reading = anyio.CancelScope()
        self._writing = anyio.Lock(fast_acquire=True)
        self._broken = False
        self._hold = False
        self._held = b""
        self._protocol: H1 | H2
        self._tasks: anyio.abc.TaskGroup

    async def run(self) -> None:
        """Serve until the connection ends. Whatever goes wrong is logged and ends it only."""
        try:
            async with anyio.create_task_group() as self._tasks:
                client, server = self._addresses
                self._arguments: tuple[Any, ...] = (
                    None,
                    self._listener.config,
                    _WorkerContext(),
                    self,
                    ConnectionState(LifespanState({})),
                    False,
                    client,
                    server,
                    self._send,
                )
                self._protocol = H1(
                    *self._arguments,
                    http2=self._listener.http2,
                    draining=self._is_draining,
                )
                with self._reading:
                    await self._read()
                await self._protocol.handle(Closed())
                await self._close()
        except BaseExceptionGroup as group:
            # The task group wraps whatever failed; only cancellation of the server goes on.
            ours, rest = group.split(Exception)
            if ours is not None:
                log.error("a connection failed and was closed", exc_info=ours)
            if rest is not None:
                raise rest from None
        finally:
            self._broken = True
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()

    async def _read(self) -> None:
        while True:
            try:
                data = await self._stream.receive(_READ)
            except anyio.EndOfStream:
                data = b""
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            await self._handle(RawData(data))
            if not data:
                return
            if isinstance(self._protocol, H1) and self._protocol.body_incomplete:
                self.read_by = monotonic() + self._options.read_timeout
            elif not self.idle:
                self.read_by = _NEVER

    async def _handle(self, event: Event) -> None:
        try:
            await self._protocol.handle(event)
        except H2ProtocolAssumedError as change:
            self._protocol = H2(*self._arguments)
            await self._protocol.initiate()
            if change.data:
                await self._protocol.handle(RawData(change.data))
        except H2CProtocolRequiredError as change:
            self._protocol = H2(*self._arguments)
            await self._protocol.initiate(change.headers, change.settings)
            if change.data:
                await self._protocol.handle(RawData(change.data))

    # What Hypercorn's protocols call.

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        exchange = Exchange(self, scope, send)
        self._tasks.start_soon(exchange.run)
        return exchange.put

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        self._tasks.start_soon(function, *args)

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            await self._write(b"")
            self._reading.cancel()
        elif isinstance(event, Updated):
            self._set_idle(event.idle)

    # Writing.

    def hold(self) -> None:
        """Keep the next bytes back and send them with those that follow."""
        self._hold = isinstance(self._protocol, H1)

    async def _write(self, data: bytes) -> None:
        if self._hold:
            self._hold = False
            self._held = data
            return
        if self._held:
            data = self._held + data
            self._held = b""
        if self._broken:
            # A handler that does nothing but send has to notice that it was cancelled.
            await anyio.lowlevel.checkpoint()
            return
        if not data:
            return
        async with self._writing:
            self.write_by = monotonic() + self._options.write_timeout
            try:
                await self._stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._broken = True
                self._reading.cancel()
            finally:
                self.write_by = _NEVER

    async def _close(self) -> None:
        # What has begun to leave may still leave, whoever cancels, for a moment.
        if not self._broken and self._protocol.unread:
            with anyio.move_on_after(_DISCARD_SECONDS):
                try:
                    await self._stream.send_eof()
                    left = _DISCARD_BYTES
                    while left > 0:
                        left -= len(await self._stream.receive(_READ))
                except (
                    anyio.EndOfStream,
                    anyio.BrokenResourceError,
                    anyio.ClosedResourceError,
                    OSError,
                ):
                    pass
        self._broken = True
        await self._stream.aclose()

    # Timeouts and draining.

    def _is_draining(self) -> bool:
        return self._listener.draining

    def _set_idle(self, idle: bool) -> None:
        self.idle = idle
        self.read_by = monotonic() + self._listener.patience if idle else _NEVER

    def is_due(self, now: float) -> bool:
        """Whether one of the connection's times has passed."""
        return now >= self.read_by or now >= self.write_by

    def expire(self, now: float) -> None:
        """End the connection if one of its times has passed."""
        if now >= self.read_by:
            self._reading.cancel()
        if now >= self.write_by:
            self._tasks.cancel_scope.cancel()

    def drain(self, now: float) -> None:
        """Wait less for the next request, and tell an HTTP/2 client to open no more streams.

        An HTTP/1.1 client learns it from its next answer.
        """
        if self.idle:
            self.read_by = min(self.read_by, now + self._listener.patience)
        if isinstance(self._protocol, H2) and not self._broken:
            self._tasks.start_soon(self._write, _GOAWAY)
