"""HTTP/2 by Hypercorn, with its known defects closed. Imported only where HTTP/2 is enabled.

Hypercorn's protocols are written against small interfaces for tasks, events and time, which this
module implements on anyio; its asyncio and trio servers are not used. One name with an underscore
is overridden, where it follows priorities; the distribution's range of versions is narrow for that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from h2.errors import ErrorCodes
from h2.events import PriorityUpdated
from h2.exceptions import ProtocolError
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import EndBody, EndData, StreamClosed, Trailers
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.typing import ConnectionState, LifespanState

from covet_hypercorn._exchange import Exchange

if TYPE_CHECKING:
    from covet_hypercorn._connection import Connection
    from covet_hypercorn._listener import Listener

# GOAWAY for the highest stream: no new streams, please; those you sent are answered.
_GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00"


class _AccessLog:
    """What Hypercorn calls when a request is done. The exchange has logged it, with what ended it."""

    def __init__(self, config: Any) -> None: ...

    async def access(self, scope: Any, response: Any, duration: float) -> None: ...


class _Config(Config):
    """Hypercorn's configuration object, reduced to what its protocols read."""

    logger_class: Any = _AccessLog
    # Past this many requests Hypercorn says GOAWAY and fails the calls in flight.
    keep_alive_max_requests = 2**62

    def __init__(self, listener: Listener) -> None:
        self.h2_max_header_list_size = listener.options.max_header_bytes
        self.h2_max_concurrent_streams = listener.max_streams
        self._clock = listener.clock

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        return [self._clock.line]


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


class _Gone:
    """Stands for a stream that has ended: what still arrives for it is dropped."""

    async def handle(self, event: StreamEvent) -> None: ...


class _Streams(dict[int, Any]):
    """The streams of a connection, where an answered one may still be sent to.

    Hypercorn looks up a stream for every DATA frame and lets the `KeyError` end the connection, so
    answering before a body has arrived would cost everybody else on it their answers.

    Attributes:
        complete: Those whose answers have been given whole.
    """

    def __init__(self) -> None:
        super().__init__()
        self.complete: set[int] = set()

    def pop(self, number: int, *default: Any) -> Any:
        self.complete.discard(number)
        return super().pop(number, *default)

    def __missing__(self, stream_id: int) -> Any:
        return _Gone()


class _Protocol(H2Protocol):
    """Hypercorn's HTTP/2 that outlives late frames and priorities, and says what is not complete."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._known = _Streams()
        self.streams = self._known

    async def stream_send(self, event: StreamEvent) -> None:
        """Take what a stream says; reset one that is left in the middle of its answer.

        Hypercorn forgets such a stream, and its client waits for the rest until the connection ends.
        """
        number = event.stream_id
        if number in self.streams:
            if isinstance(event, EndBody | EndData | Trailers):
                self._known.complete.add(number)
            elif isinstance(event, StreamClosed) and number not in self._known.complete:
                with suppress(ProtocolError):
                    self.connection.reset_stream(number, ErrorCodes.INTERNAL_ERROR)
                if data := self.connection.data_to_send():
                    await self.send(RawData(data))
        await super().stream_send(event)

    async def _priority_updated(self, event: PriorityUpdated) -> None:
        """Ignore it, as RFC 9113 (5.3.2) allows.

        Hypercorn keeps every stream a client names, idle and closed ones too, and fails at the
        thousandth.
        """


class H2:
    """One HTTP/2 connection."""

    body_incomplete = False
    passing_over = False
    unread = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        arguments: tuple[Any, ...] = (
            None,
            _Config(connection.listener),
            _WorkerContext(),
            self,
            ConnectionState(LifespanState({})),
            False,
            connection.client,
            connection.server,
            self._send,
        )
        self._protocol = _Protocol(*arguments)

    async def begin(self, data: bytes) -> None:
        """Answer the client's preface."""
        await self._protocol.initiate()
        await self._protocol.handle(RawData(data))

    async def receive(self, data: bytes) -> None:
        """Take bytes, empty at the end."""
        if data:
            await self._protocol.handle(RawData(data))

    async def gone(self) -> None:
        """The client is no longer there."""
        await self._protocol.handle(Closed())

    async def drain(self) -> None:
        """Ask the client to open no more streams."""
        await self._connection.write(_GOAWAY)

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._connection.write(event.data)
        elif isinstance(event, Closed):
            self._connection.finish()
        elif isinstance(event, Updated):
            self._connection.set_idle(event.idle)

    # What Hypercorn's protocol takes for its task group.

    async def spawn_app(self, app: Any, config: Any, scope: Any, send: Any) -> Any:
        listener = self._connection.listener
        exchange = Exchange(listener.calls, scope, send, logs=listener.access_log)
        self._connection.spawn(exchange.run)
        return exchange.put

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        self._connection.spawn(function, *args)
