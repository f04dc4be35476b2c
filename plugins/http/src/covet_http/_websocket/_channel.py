"""What covet-http asks of a server for each WebSocket: the contract, and the limits it keeps.

A server that has read a sound handshake (see `judge_handshake`) makes a `Channel` of it and calls the
application as for any request, with an ASGI scope of the type ``"websocket"``. The channel is in the
scope's extensions under `CHANNEL`, so that covet-http need not go through ASGI's messages; for
applications that do there is `ChannelMessages`. Nothing of the answer is sent before `Channel.accept` or
`Channel.deny` is awaited, and nothing that the client sends meanwhile is read beyond what one read
brings. When the application has returned, the server ends what is still open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, Self, TypeAlias

from covet_http._websocket._closed import WebSocketClosed
from covet_kernel.contracts import Record

CHANNEL: Final = "covet.websocket"
"""Key of an ASGI extension of ``websocket`` scopes: the `Channel`."""

Text: TypeAlias = "str | bytes"
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


class ChannelLimits(Record):
    """What one WebSocket may cost. Times in seconds, sizes in bytes.

    Attributes:
        max_message_bytes: Of a message that comes, decompressed; past it 1009.
        max_fragments: Frames that one message may come in; past it 1009.
        message_timeout: For a message to arrive whole, from its first byte; past it 1002.
        max_control_frames: Pings, pongs and empty fragments that a client may send within ten
            seconds; past it 1008.
        max_queue_bytes: Of messages that wait to be sent. One message may be larger, alone.
        max_queue_messages: How many may wait.
        when_full: What becomes of a sender beyond that: it waits, or the WebSocket is closed 1013.
        ping_interval: Silence after which the server pings; 0: never.
        ping_timeout: For the pong to come; past it the connection is given up, 1006.
        close_timeout: For the peer to answer a close, and for a handler to end behind it.
        compression: Whether messages may be compressed (RFC 7692) where the client offers it.
        compress_from: The size from which messages are worth it.
    """

    max_message_bytes: int = 1024 * 1024
    max_fragments: int = 1024
    message_timeout: float = 30.0
    max_control_frames: int = 200
    max_queue_bytes: int = 1024 * 1024
    max_queue_messages: int = 1024
    when_full: Literal["wait", "close"] = "wait"
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 10.0
    compression: bool = False
    compress_from: int = 1024


class Channel(ABC):
    """One WebSocket as its server holds it. All calls come from the event loop's thread.

    A channel is closed once its end is known: a close frame has come or was asked for, the connection
    broke, or the peer broke the protocol. From then on `offer` raises. What came before that can
    still be received; then `receive` raises too. The first end counts, whatever follows.

    Attributes:
        close_code: Of the end, ``None`` while there is none.
        close_reason: What was said with it.
        on_closed: Called once, with the channel, when `close_code` is set.
        finishing: Whether the handler closes it when the service stops, so that the server need not.
        burst: Messages received and sent since others had their turn: whoever counts them gives it to
            them now and then. A server sets it to 0 where `receive` has waited.
    """

    finishing: bool = False
    burst: int = 0

    close_code: int | None = None
    close_reason: str = ""
    on_closed: Callable[[Channel], object] | None = None

    def closed(self) -> WebSocketClosed:
        """What whoever uses it now is told."""
        code = 1006 if self.close_code is None else self.close_code
        return WebSocketClosed("", close_code=code, reason=self.close_reason)

    def end(self, code: int, reason: str) -> bool:
        """For servers: note how it ends; whether that is news."""
        if self.close_code is not None:
            return False
        self.close_code, self.close_reason = code, reason
        if self.on_closed is not None:
            self.on_closed(self)
        return True

    @abstractmethod
    async def accept(
        self, subprotocol: str | None, headers: Headers, limits: ChannelLimits
    ) -> None:
        """Answer the handshake: 101, or 200 where HTTP/2 carries it.

        Args:
            subprotocol: One that the client has offered.
            headers: Further ones, names in lower case.
            limits: Kept from here on.

        Raises:
            WebSocketClosed: The client has left meanwhile.
        """

    @abstractmethod
    async def deny(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer the handshake with a plain HTTP answer. A client that has left is no error."""

    @abstractmethod
    async def receive(self) -> Text:
        """The next message, whole; text as ``str``. Cancelled, it loses none. One task at a time.

        Raises:
            WebSocketClosed: There is none any more.
        """

    async def following(self) -> Text:
        """`receive`, for ``async for``.

        Raises:
            StopAsyncIteration: There is none any more.
        """
        try:
            return await self.receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None

    @abstractmethod
    def offer(self, message: Text) -> bool:
        """Queue a message if there is room; it is sent by itself, in the order of the calls.

        There is room for any message while none waits, and for one that keeps both limits.

        Returns:
            Whether there was; if not, nothing has happened.

        Raises:
            WebSocketClosed: It is closed.
        """

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Bytes of messages that the system's buffers have not taken."""

    @property
    @abstractmethod
    def queued(self) -> int:
        """Messages that wait to be sent, the one that is being sent included."""

    @abstractmethod
    async def drained(self) -> None:
        """Return when at most half of either limit waits.

        Raises:
            WebSocketClosed: It is closed, and nothing more will leave.
        """

    @abstractmethod
    async def ping(self) -> float:
        """Send a ping and return when its pong is there; how many seconds that took.

        Raises:
            WebSocketClosed: It is closed, or was meanwhile.
            NotImplementedError: The server does not let applications ping.
        """

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Close behind what is queued, without waiting; safe twice. It is closed at once.

        The server waits for the peer's answer, ``close_timeout`` at most, and ends the connection.

        Args:
            code: One that may be sent.
            reason: At most 123 bytes of UTF-8.
        """

    @abstractmethod
    def abort(self) -> None:
        """Give up the connection at once: the peer sees it break. Safe at any time."""

    @classmethod
    def broadcast(cls, channels: Iterable[Self], message: Text) -> Sequence[Self]:
        """`offer` one message to many, encoded once.

        Returns:
            Those that had no room, or are closed.
        """
        return [each for each in channels if not _offered(each, message)]


def _offered(channel: Channel, message: Any) -> bool:
    try:
        return channel.offer(message)
    except WebSocketClosed:
        return False
