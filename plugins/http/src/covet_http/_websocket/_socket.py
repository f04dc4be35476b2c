"""What a handler holds: one WebSocket, from its handshake to its end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import anyio.lowlevel
from pydantic_core import from_json, to_json

from covet_http._accept import split_list
from covet_http._websocket._channel import Channel, ChannelLimits, Text
from covet_http._websocket._closed import (
    INVALID_DATA,
    TRY_AGAIN_LATER,
    UNSUPPORTED_DATA,
    WebSocketClosed,
    checked_close,
)

if TYPE_CHECKING:
    from covet_http._problem import Problems
    from covet_http._request import Request
    from covet_operations import OperationError

# So many messages in a row, and others get a turn.
_BURST = 32
_OURS = b"sec-websocket-"


class WebSocket:
    """A WebSocket, which a handler that is bound with `websocket` takes by its type.

    The handshake is answered when the handler says so, with `accept`; a handler that raises before
    is answered as over HTTP, and one that returns has refused. When it returns later, the WebSocket is
    closed 1000, and for an error with the code of its kind.

    ::

        @http.websocket("/echo")
        async def echo(socket: http.WebSocket) -> None:
            await socket.accept()
            async for message in socket:
                await socket.send(message)

    Attributes:
        request: The handshake's: headers, cookies, query, caller and what interceptors said.
        offered: The subprotocols that the client speaks, its favourite first.
        subprotocol: The one that was chosen, ``None`` for none.
        on_drain: Called with the code to close with where the service stops or is reloaded, in place
            of closing at once, by handlers that have something to finish first. They close themselves,
            and have until the drain deadline.
    """

    on_drain: Callable[[int], object] | None = None

    def __init__(
        self, request: Request, channel: Channel, limits: ChannelLimits, problems: Problems
    ) -> None:
        self.request = request
        self.offered = subprotocols_of(request)
        self.subprotocol: str | None = None
        self._channel = channel
        self._limits = limits
        self._problems = problems
        self._accepted = False

    # The handshake.

    @property
    def accepted(self) -> bool:
        """Whether the handshake is answered, and well."""
        return self._accepted

    async def accept(
        self,
        subprotocol: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer the handshake: from here on there is a WebSocket, and no deadline.

        Args:
            subprotocol: One of `offered`. Unless given, the first that the route has and the client
                offers, if there is any.
            headers: Sent with the answer, besides those of ``request.response``.

        Raises:
            ValueError: The client has not offered that subprotocol, or a header is none.
            RuntimeError: It was accepted before.
            WebSocketClosed: The client has left meanwhile.
        """
        if self._accepted:
            raise RuntimeError("the handshake is answered already")
        if subprotocol is None:
            known: Sequence[str] = getattr(self.request.binding, "subprotocols", ())
            subprotocol = next((each for each in known if each in self.offered), None)
        elif subprotocol not in self.offered:
            raise ValueError(f"the client does not offer the subprotocol {subprotocol!r}")
        response = self.request.response
        for name, value in headers:
            response.add(name, value)
        lines = [*response.headers, *response.always]
        if any(name.startswith(_OURS) for name, _ in lines):
            raise ValueError("headers of the handshake itself are the server's to send")
        await self._channel.accept(subprotocol, lines, self._limits)
        self.subprotocol = subprotocol
        self._accepted = True
        self.request.unlimited()

    # Messages in.

    async def receive(self) -> Text:
        """The next message, as it came: ``str`` for text, ``bytes`` for others.

        Raises:
            WebSocketClosed: There is none any more.
        """
        self._require_accepted()
        channel = self._channel
        channel.burst += 1
        if channel.burst >= _BURST:
            channel.burst = 0
            await anyio.lowlevel.checkpoint()
        return await channel.receive()

    async def receive_text(self) -> str:
        """The next message, which has to be text; another closes the WebSocket 1003."""
        message = await self.receive()
        if not isinstance(message, str):
            raise self._refuse(UNSUPPORTED_DATA, "text is expected")
        return message

    async def receive_bytes(self) -> bytes:
        """The next message, which has to be binary; another closes the WebSocket 1003."""
        message = await self.receive()
        if isinstance(message, str):
            raise self._refuse(UNSUPPORTED_DATA, "binary messages are expected")
        return message

    async def receive_json(self) -> Any:
        """The next message as JSON, text or binary; what is none closes the WebSocket 1007."""
        message = await self.receive()
        try:
            return from_json(message, allow_inf_nan=False)
        except ValueError:
            raise self._refuse(INVALID_DATA, "JSON is expected") from None

    def __aiter__(self) -> Self:
        """The messages until the WebSocket is closed, by whichever side; `close_code` says how."""
        return self

    # No generator, which somebody would have to close; and no coroutine of its own around the channel's.
    def __anext__(self) -> Coroutine[Any, Any, Text]:
        if not self._accepted:
            self._require_accepted()
        channel = self._channel
        channel.burst += 1
        if channel.burst >= _BURST:
            return self._after_others()
        return channel.following()

    async def _after_others(self) -> Text:
        self._channel.burst = 0
        await anyio.lowlevel.checkpoint()
        return await self._channel.following()

    # Messages out.

    async def send(self, message: Text) -> None:
        """Send a message: text for ``str``. Waits while the queue is full.

        Where ``when_full`` is ``"close"``, a full queue closes the WebSocket 1013 instead.

        Raises:
            WebSocketClosed: It is closed; the message was not sent.
        """
        if not self._accepted:
            self._require_accepted()
        channel = self._channel
        while not channel.offer(message):
            if self._limits.when_full == "close":
                raise self._refuse(TRY_AGAIN_LATER, "messages are not read as fast as they come")
            await channel.drained()
        channel.burst += 1
        if channel.burst >= _BURST:
            channel.burst = 0
            await anyio.lowlevel.checkpoint()

    async def send_text(self, text: str) -> None:
        """`send` text."""
        await self.send(text)

    async def send_bytes(self, data: bytes) -> None:
        """`send` a binary message."""
        await self.send(data)

    async def send_json(self, value: Any) -> None:
        """`send` a value as JSON text; models, dates and the like as in answers."""
        await self.send(to_json(value).decode())

    def try_send(self, message: Text) -> bool:
        """`send` without waiting.

        Returns:
            Whether there was room; if not, nothing has happened.

        Raises:
            WebSocketClosed: It is closed.
        """
        self._require_accepted()
        return self._channel.offer(message)

    @property
    def buffered(self) -> int:
        """Bytes of messages that wait to leave."""
        return self._channel.buffered

    @property
    def queued(self) -> int:
        """Messages that wait to leave."""
        return self._channel.queued

    async def drained(self) -> None:
        """Return when at most half of the queue's limits wait to leave.

        Raises:
            WebSocketClosed: It is closed, and nothing more will leave.
        """
        await self._channel.drained()

    async def ping(self) -> float:
        """Ask for a sign of life; how many seconds it took. The server does so by itself as well.

        Raises:
            WebSocketClosed: It is closed, or was meanwhile.
            NotImplementedError: The server does not let applications ping.
        """
        self._require_accepted()
        return await self._channel.ping()

    def problem(self, error: OperationError) -> bytes:
        """The JSON that an error is answered with over HTTP, to be part of a message."""
        return self._problems.of(error)[2]

    # The end.

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it behind what is queued; safe twice. Nothing is received or sent afterwards.

        Args:
            code: 1000, one of the others a side may send, or an application's own, 3000 to 4999.
            reason: For the peer, at most 123 bytes of UTF-8.

        Raises:
            ValueError: The code or reason cannot be sent.
        """
        checked_close(code, reason)
        self._require_accepted()
        self._channel.close(code, reason)

    @property
    def close_code(self) -> int | None:
        """How it was closed (see `WebSocketClosed`), ``None`` while it is not."""
        return self._channel.close_code

    @property
    def close_reason(self) -> str:
        """What was said with it."""
        return self._channel.close_reason

    def _refuse(self, code: int, reason: str) -> WebSocketClosed:
        self._channel.close(code, reason)
        return self._channel.closed()

    def _require_accepted(self) -> None:
        if not self._accepted:
            raise RuntimeError("the handshake is not answered: await accept() first")


def broadcast(members: Iterable[WebSocket], message: Text) -> list[WebSocket]:
    """Send one message to many, encoded once, without waiting for any of them.

    Those whose ``when_full`` is ``"close"`` are closed 1013 if they have no room.

    Args:
        members: Accepted ones; those that are closed are passed over.
        message: Text for ``str``.

    Returns:
        Those that had no room, and have not got it.
    """
    groups: dict[type[Channel], dict[Channel, WebSocket]] = {}
    for each in members:
        each._require_accepted()
        if each.close_code is None:
            groups.setdefault(type(each._channel), {})[each._channel] = each
    left_out = []
    for kind, group in groups.items():
        for channel in kind.broadcast(list(group), message):
            member = group[channel]
            if channel.close_code is None:
                left_out.append(member)
                if member._limits.when_full == "close":
                    channel.close(TRY_AGAIN_LATER, "messages are not read as fast as they come")
    return left_out


def subprotocols_of(request: Request) -> tuple[str, ...]:
    """What ``Sec-WebSocket-Protocol`` offers, in its order."""
    lines = request.header_list(b"sec-websocket-protocol")
    return tuple(split_list(lines.decode("latin-1"))) if lines else ()
