"""What the handler of a channel holds: one client, and messages of known types in both directions.

Nothing runs beside the handler. Whoever waits for something from the client, for a message or for its
acknowledgement of one, takes the next frame, whatever it holds; others wait until it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

import anyio
from msgspec import UNSET
from pydantic import ValidationError

from covet_http import HandshakeRequest, Malformed, WebSocket, WebSocketClosed
from covet_operations import Invalid, OperationError
from covet_websocket._encodings import ENCODINGS, Data, Encoding, Reader, encoding_of
from covet_websocket._errors import BadFrame, NotAcknowledged, close_code
from covet_websocket._frames import ChannelFrame

if TYPE_CHECKING:
    from covet_websocket._channel._types import MessageTypes

In = TypeVar("In")
Out = TypeVar("Out")

_AHEAD: Final = 16
"""Messages that may have come before the handler asks for them, while it waits for something else."""

_READERS: Final = {name: encoding.reader(ChannelFrame) for name, encoding in ENCODINGS.items()}


class Connection(Generic[In, Out]):
    """A client of a channel, which a handler that is bound with `channel` takes by its type.

    The handshake is answered when the handler first sends or receives, or says `accept`; until then it
    can be refused, by raising an error, as over HTTP. When the handler returns, the connection is closed
    1000, and for an error with the code of its kind.

    ::

        @websocket.channel("/echo")
        async def echo(connection: websocket.Connection[Said, Heard]) -> None:
            async for said in connection:
                await connection.send(Heard(text=said.text))

    A message that its client wants acknowledged is, once the handler asks for the next one or returns;
    or says `acknowledge`. So one that is acknowledged was dealt with.

    Attributes:
        socket: The WebSocket below, for what is not about messages. Sending there sends no frames.
        request: The handshake's: headers, cookies, query, caller.
    """

    def __init__(
        self,
        socket: WebSocket,
        types: MessageTypes,
        *,
        closes: bool,
        ack_timeout: float,
        max_unacknowledged: int,
    ) -> None:
        self.socket = socket
        self.request: HandshakeRequest = socket.request  # type: ignore[assignment]
        self._types = types
        self._closes = closes
        self._ack_timeout = ack_timeout
        self._max_unacknowledged = max_unacknowledged
        self._encoding: Encoding | None = None
        self._accepting: anyio.Event | None = None
        self._reader: Reader[ChannelFrame]
        self._inbox: deque[tuple[int | str | None, In]] = deque()
        self._taken: int | str | None = None
        self._unacknowledged: set[int] = set()
        self._number = 0
        self._reading = False
        self._moved: anyio.Event | None = None
        self._owed: Data | None = None

    # The handshake.

    async def accept(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer the handshake, unless it is answered; from here on there is no deadline.

        Args:
            headers: Sent with the answer.

        Raises:
            WebSocketClosed: The client has left meanwhile.
        """
        while self._encoding is None:
            if self._accepting is not None:
                # Somebody else does, and may be cancelled meanwhile.
                await self._accepting.wait()
                continue
            accepting = self._accepting = anyio.Event()
            try:
                await self.socket.accept(headers=headers)
                encoding = encoding_of(self.socket.subprotocol)
                self._reader = _READERS[encoding.subprotocol]
                self._encoding = encoding
            finally:
                self._accepting = None
                accepting.set()

    @property
    def encoding(self) -> Encoding:
        """How frames are written.

        Raises:
            RuntimeError: The handshake is not answered.
        """
        if self._encoding is None:
            raise RuntimeError("the handshake is not answered: await accept() first")
        return self._encoding

    @property
    def codec(self) -> str:
        """The name of `encoding`: ``"json"`` or ``"msgpack"``."""
        return self.encoding.name

    # Messages in.

    async def receive(self) -> In:
        """The next message.

        What the one before it was acknowledged with is sent first, if its client has asked for that.

        Raises:
            WebSocketClosed: There is none any more.
        """
        await self.accept()
        if self._taken is not None:
            await self.acknowledge()
        while not self._inbox:
            await self._take_frame()
        self._taken, message = self._inbox.popleft()
        self._tell()
        return message

    def __aiter__(self) -> Self:
        """The messages until the connection is closed, by whichever side."""
        return self

    async def __anext__(self) -> In:
        try:
            return await self.receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None

    async def acknowledge(self) -> None:
        """Acknowledge the message that was received last, if its client waits for that; safe twice.

        Raises:
            WebSocketClosed: It is closed, and the client will not know.
        """
        taken, self._taken = self._taken, None
        if taken is None:
            return
        encoding = self.encoding
        frame = encoding.frame({"id": encoding.plain(taken), "ack": encoding.plain(True)})
        if self.socket.try_send(frame):
            return
        try:
            await self.socket.send(frame)
        except BaseException:
            # Whoever is cancelled here can still say it; to say it twice does no harm.
            if self._taken is None:
                self._taken = taken
            raise

    async def conclude(self) -> None:
        """What is done when the handler has returned: acknowledge what it has dealt with."""
        if self._taken is not None and self.close_code is None:
            await self.acknowledge()

    async def _take_frame(self) -> None:
        """Take a frame and do what it says; or wait until somebody else has."""
        if self._reading:
            await self._wait()
            return
        self._reading = True
        try:
            # Of whoever was cancelled while there was no room.
            await self._pay()
            data = await self.socket.receive()
            self._hear(data)
            await self._pay()
        finally:
            self._reading = False
            self._tell()

    async def _wait(self) -> None:
        """Wait until somebody has taken a frame or a message."""
        if self._moved is None:
            self._moved = anyio.Event()
        await self._moved.wait()

    def _tell(self) -> None:
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.set()

    def _hear(self, data: Data) -> None:
        name = None
        try:
            frame = self._reader.read(data)
            name = frame.id
            if frame.ack:
                if name is None or frame.message is not UNSET:
                    raise BadFrame("an acknowledgement has an id, and nothing else")
                self._unacknowledged.discard(name)
                return
            if frame.message is UNSET:
                raise BadFrame("there is neither a message nor an acknowledgement in it")
            try:
                message = self.encoding.validate(self._types.reads, frame.message)
            except ValidationError as error:
                raise Invalid.from_validation(error, "message") from None
        except (Malformed, OperationError) as error:
            self._refuse(error, name)
        else:
            self._inbox.append((name, message))

    def _refuse(self, error: OperationError, name: int | str | None) -> None:
        if self._closes:
            self.close(close_code(error), error.code)
            return
        encoding = self.encoding
        members = {} if name is None else {"id": encoding.plain(name)}
        members["error"] = encoding.json(self.socket.problem(error))
        self._owed = encoding.frame(members)

    async def _pay(self) -> None:
        """Answer a frame that was refused."""
        owed = self._owed
        if owed is not None:
            if not self.socket.try_send(owed):
                await self.socket.send(owed)
            self._owed = None

    # Messages out.

    def frame(self, message: Out) -> Data:
        """A message as it is sent, for `offer`: the same for all whose `codec` is the same."""
        encoding = self.encoding
        return encoding.frame({"message": encoding.value(self._types.writes, message)})

    async def send(
        self, message: Out, *, acknowledged: bool = False, timeout: float | None = None
    ) -> None:
        """Send a message. Waits while the queue is full.

        Args:
            message: Of the type that the channel sends.
            acknowledged: Wait until the client has acknowledged it, and for that while too many others
                are not.
            timeout: Seconds to wait for that, in place of what the configuration says.

        Raises:
            WebSocketClosed: It is closed; the message was not sent, or not acknowledged.
            NotAcknowledged: The time is over. The message may have come all the same.
        """
        await self.accept()
        if not acknowledged:
            await self.socket.send(self.frame(message))
            return
        with anyio.move_on_after(self._ack_timeout if timeout is None else timeout):
            await self._send_acknowledged(message)
            return
        raise NotAcknowledged("the client has not acknowledged a message in time")

    async def _send_acknowledged(self, message: Out) -> None:
        waiting, encoding = self._unacknowledged, self.encoding
        while len(waiting) >= self._max_unacknowledged:
            await self._take_ahead()
        self._number += 1
        number = self._number
        frame = encoding.frame(
            {
                "id": encoding.plain(number),
                "message": encoding.value(self._types.writes, message),
            }
        )
        waiting.add(number)
        try:
            await self.socket.send(frame)
            while number in waiting:
                await self._take_ahead()
        finally:
            waiting.discard(number)
            self._tell()

    async def _take_ahead(self) -> None:
        """`_take_frame` for somebody who does not take messages, which wait for who does."""
        if len(self._inbox) < _AHEAD:
            await self._take_frame()
            return
        if self.close_code is not None:
            await self.socket.drained()  # raises
        await self._wait()

    def try_send(self, message: Out) -> bool:
        """`send` without waiting.

        Returns:
            Whether there was room; if not, nothing has happened.

        Raises:
            WebSocketClosed: It is closed.
            RuntimeError: The handshake is not answered.
        """
        return self.socket.try_send(self.frame(message))

    def offer(self, frame: Data) -> bool:
        """`try_send` for what `frame` has made, of this connection or of another one with its `codec`."""
        return self.socket.try_send(frame)

    async def drained(self) -> None:
        """Return when there is room again.

        Raises:
            WebSocketClosed: It is closed.
        """
        await self.socket.drained()

    @property
    def buffered(self) -> int:
        """Bytes of frames that wait to leave."""
        return self.socket.buffered

    @property
    def queued(self) -> int:
        """Frames that wait to leave."""
        return self.socket.queued

    @property
    def subprotocol(self) -> str | None:
        """The one that was chosen, ``None`` for none."""
        return self.socket.subprotocol

    # The end.

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it behind what is queued; see `covet_http.WebSocket.close`."""
        self.socket.close(code, reason)

    @property
    def close_code(self) -> int | None:
        """How it was closed, ``None`` while it is not."""
        return self.socket.close_code
