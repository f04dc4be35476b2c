"""WebSockets on the engine: one object is the pool's exchange and covet-http's channel.

The library has read the handshake, and reads and writes frames; what comes here are whole messages, or
pieces of long ones. What a client may have waiting for it is counted where it waits, in the library: how
much is still sure to have room is kept here, and asked for again once that is used up.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable, Sequence
from functools import lru_cache
from struct import Struct
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Self

import anyio
import anyio.lowlevel

from covet_engine._asgi import LINE, WithState, awaited, scope_of
from covet_engine._core import REPLY, Core, Kind
from covet_engine._request import every_field
from covet_http import CHANNEL, AsgiApplication, Channel, ChannelLimits, Message

if TYPE_CHECKING:
    from covet_engine._asgi import Address
    from covet_engine._wait import Seat
    from covet_http import Application, ChannelMessages, Scope

log = logging.getLogger("covet.engine")

_MESSAGE: Final = int(Kind.MESSAGE)
# Of enum cv_op and enum cv_message_flag.
_ACCEPT: Final = 40
_SEND: Final = 41
_SHUT: Final = 42
_TAKEN: Final = 43
_DRAIN: Final = 44
_PING: Final = 45
_CUT: Final = 46
_LEAVE: Final = 47
_TEXT: Final = 1
_MORE: Final = 2

_LIMITS: Final = Struct("=4d8I")  # cv_channel_limits
_reply: Final = REPLY.pack
_PAIR: Final = Struct("=II")
_NUMBER: Final = Struct("=I")
_LARGEST: Final = 2**31 - 1
_BYTES: Final = (1 << 40) - 1
_MESSAGES: Final = 40

_DENIAL: Final = "websocket.http.response"
_PROTOCOL: Final = b"sec-websocket-protocol"
_NORMAL: Final = 1000
_AWAY: Final = 1001
_ABNORMAL: Final = 1006
_FAILED: Final = 1011
_LONGEST_REASON: Final = 123
# Messages that a handler has received before the library is told, which holds the client's back after 32.
_TOLD_AFTER: Final = 16

# How far the handshake is.
_ASKED: Final = 0
_ACCEPTED: Final = 1
_OVER: Final = 2


class WebSocketTarget:
    """What handshakes lead to, whatever their path: makes the channels.

    Args:
        core: The engine.
        application: Called as ASGI 3 says, with a scope of the type ``"websocket"``.
        servers: Where the listening sockets are bound, in the order of their adoption.
    """

    def __init__(
        self, core: Core, application: Application, servers: Sequence[Address | None] = ()
    ) -> None:
        self.core = core
        self.state: dict[str, Any] | None = None
        self.application: Any = application
        if isinstance(application, WithState):
            self.application, self.state = application.application, application.state
        self.servers: Sequence[Address | None] = [*servers, *[None] * (256 - len(servers))]

    def __call__(self, handle: int, at: int, size: int, flags: int) -> EngineChannel:
        return EngineChannel(self, handle, at)


class EngineChannel(Channel):
    """One WebSocket."""

    def __init__(self, target: WebSocketTarget, handle: int, at: int) -> None:
        self.handle = handle
        self._target = target
        self._core = target.core
        self._scope: Scope | None = self._scope_of(at)
        self._stage = _ASKED
        self._connected = True
        self._messages: ChannelMessages | None = None
        # Coming in.
        # A list: there are never many, and an empty one is a tenth of a deque.
        self._in: list[tuple[str | bytes, int]] = []
        self._piece: bytes | bytearray = b""
        self._taken = self._taken_bytes = 0
        self._seat: Seat | None = None
        # Going out: what is sure to have room.
        self._limits = _DEFAULT
        self._room = self._places = 0
        self._round = -1
        self._drained: anyio.Event | None = None
        self._ponged: anyio.Event | None = None
        self._pings = 0

    def _scope_of(self, at: int) -> Scope:
        scope, _, _ = scope_of(self._target, self.handle, at)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        scope["subprotocols"] = [
            each.strip().decode("ascii")
            for name, value in scope["headers"]
            if name == _PROTOCOL
            for each in value.split(b",")
        ]
        scope["extensions"] |= {_DENIAL: {}, CHANNEL: self}
        return scope

    # What the pool calls.

    def start(self) -> Coroutine[Any, Any, Any]:
        application = self._target.application
        if isinstance(application, AsgiApplication):
            # What it answers with, and no coroutine around it. It finds the channel in the scope.
            application = application.begin
        scope, self._scope = self._scope, None
        answering = application(scope, self._asgi_receive, self._asgi_send)
        return answering if answering.__class__ is CoroutineType else awaited(answering)

    def finish(self, result: Any) -> None:
        if self._stage == _ASKED:
            log.error("the ASGI application returned, and had not answered the handshake")
        self._end(500, _NORMAL)

    def fail(self, error: BaseException) -> None:
        stopped = isinstance(error, anyio.get_cancelled_exc_class())
        if not stopped and not (self.close_code is not None and isinstance(error, OSError)):
            log.error("the ASGI application failed", exc_info=error)
        self._end(503 if stopped else 500, _AWAY if stopped else _FAILED)

    def suspended(self, scope: anyio.CancelScope) -> None:
        self._core.live[self.handle] = self

    def on_event(self, kind: int, at: int, size: int, flags: int, extra: int) -> None:
        if kind == _MESSAGE:
            if flags & _MORE or self._piece:
                self._on_piece(at, size, flags)
            elif self.close_code is None:
                piece = self._core.arena[at : at + size]
                self._in.append((str(piece, "utf-8") if flags & _TEXT else piece.tobytes(), size))
                seat = self._seat
                if seat is not None and seat.waiting:
                    seat.wake()
        elif kind == Kind.DRAINED:
            self._set_drained()
        elif kind == Kind.PONG:
            if extra == self._pings:
                self._set_ponged()
        else:
            # CLOSED; or the client was gone before it was let in, or could not be.
            code = extra if kind == Kind.CLOSED else _ABNORMAL
            reason = bytes(self._core.arena[at : at + size]) if kind == Kind.CLOSED else b""
            if kind == Kind.REFUSED:
                log.error("a handshake could not be answered as it was meant")
                self._stage = _OVER
            self._connected = False
            self.end(code, reason.decode())
            self._set_drained()
            self._set_ponged()

    def _on_piece(self, at: int, size: int, flags: int) -> None:
        """A message that does not come as one piece."""
        if self.close_code is not None:
            return
        piece = self._core.arena[at : at + size]
        # A bytearray from the second piece on, so that many small ones are not copied each time.
        self._piece = self._piece + piece if self._piece else bytearray(piece)
        if flags & _MORE:
            return
        whole, self._piece = self._piece, b""
        self._in.append((whole.decode() if flags & _TEXT else bytes(whole), len(whole)))
        self._wake()

    def _set_drained(self) -> None:
        event, self._drained = self._drained, None
        if event is not None:
            event.set()

    def _set_ponged(self) -> None:
        event, self._ponged = self._ponged, None
        if event is not None:
            event.set()

    def _wake(self) -> None:
        seat = self._seat
        if seat is not None and seat.waiting:
            seat.wake()

    def _end(self, status: int, code: int) -> None:
        core, handle = self._core, self.handle
        core.live.pop(handle, None)
        if self._stage == _ACCEPTED:
            core.parts.append(REPLY.pack(handle, 0, code, _LEAVE, 0))
        elif self._stage == _ASKED:
            if self.close_code is not None:
                core.drop(handle)
            else:
                core.reply(handle, status, b"", b"", close=True)
        self._stage = _OVER
        self._connected = False
        self.end(code, "")
        core.flush_soon()

    # What ASGI's applications call.

    @property
    def _asgi(self) -> ChannelMessages:
        messages = self._messages
        if messages is None:
            from covet_http import ChannelMessages

            messages = self._messages = ChannelMessages(self)
        return messages

    async def _asgi_receive(self) -> Message:
        return await self._asgi.receive()

    async def _asgi_send(self, message: Message) -> None:
        await self._asgi.send(message)

    # The channel.

    def end(self, code: int, reason: str) -> bool:
        news = super().end(code, reason)
        self._wake()
        return news

    async def accept(
        self,
        subprotocol: str | None,
        headers: Iterable[tuple[bytes, bytes]],
        limits: ChannelLimits,
    ) -> None:
        lines = [(bytes(name), bytes(value)) for name, value in headers]
        if subprotocol is not None:
            lines.append((_PROTOCOL, subprotocol.encode("ascii")))
        fields = every_field(lines)
        for name, value in lines:
            if not LINE(b"%b: %b\r\n" % (name, value)):
                raise ValueError(f"{name!r}: {value!r} is no header field")
        await anyio.lowlevel.checkpoint()
        if self.close_code is not None:
            raise self.closed()
        core, known = self._core, _packed(limits)
        core.parts += (
            REPLY.pack(self.handle, len(known) + len(fields), 0, _ACCEPT, 0),
            known,
            fields,
        )
        self._limits = limits
        self._stage = _ACCEPTED
        core.flush_soon()
        if core.stopping:
            self.close(_AWAY, "")

    async def deny(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        if self.close_code is not None or self._stage != _ASKED:
            return
        lines = [(n, v) for n, v in headers if n not in (b"content-length", b"connection")]
        self._core.reply(self.handle, status, every_field(lines), body, close=True)
        self._stage = _OVER
        self._core.flush_soon()
        self.end(_ABNORMAL, "")

    async def receive(self) -> str | bytes:
        waiting = self._in
        while not waiting:
            if self.close_code is not None:
                raise self.closed()
            await (self._seat or self._place()).park()
            self.burst = 0
        return self._next()

    async def following(self) -> str | bytes:
        waiting = self._in
        while not waiting:
            if self.close_code is not None:
                raise StopAsyncIteration
            await (self._seat or self._place()).park()
            self.burst = 0
        return self._next()

    def _place(self) -> Seat:
        seat = self._seat = self._core.seat()
        return seat

    def _next(self) -> str | bytes:
        message, size = self._in.pop(0)
        self._taken += 1
        self._taken_bytes += size
        if self._taken >= _TOLD_AFTER or self._taken_bytes * 2 >= self._core.high_water:
            self._tell_taken()
        return message

    def _tell_taken(self) -> None:
        core = self._core
        if self._stage == _ACCEPTED:
            core.parts.append(
                REPLY.pack(self.handle, _PAIR.size, 0, _TAKEN, 0)
                + _PAIR.pack(self._taken, self._taken_bytes)
            )
            core.flush_soon()
        self._taken = self._taken_bytes = 0

    def offer(self, message: str | bytes) -> bool:
        if self.close_code is not None:
            raise self.closed()
        if message.__class__ is str:
            data, flags = message.encode(), _TEXT
        elif message.__class__ is bytes:
            data, flags = message, 0
        else:
            data, flags = _data(message)
        size = len(data)
        core = self._core
        if (size > self._room or not self._places or self._round != core.round) and not self._fits(
            size
        ):
            return False
        self._room -= size
        self._places -= 1
        core.parts += (_reply(self.handle, size, 0, _SEND, flags), data)
        if not core.turn:
            core.flush_soon()
        return True

    def _fits(self, size: int) -> bool:
        """Look how much there is room for; whether so many bytes are."""
        core, limits = self._core, self._limits
        waiting = core.waiting(self.handle)
        self._round = core.round
        self._room = limits.max_queue_bytes - (waiting & _BYTES)
        self._places = limits.max_queue_messages - (waiting >> _MESSAGES)
        if not waiting & _BYTES:
            self._places = max(self._places, 1)
            return True
        return size <= self._room and self._places > 0

    @property
    def buffered(self) -> int:
        return self._core.waiting(self.handle) & _BYTES

    @property
    def queued(self) -> int:
        waiting = self._core.waiting(self.handle)
        return waiting >> _MESSAGES if waiting & _BYTES else 0

    async def drained(self) -> None:
        limits = self._limits
        while self._connected:
            waiting = self._core.waiting(self.handle)
            if (
                2 * (waiting & _BYTES) <= limits.max_queue_bytes
                and 2 * (waiting >> _MESSAGES) <= limits.max_queue_messages
            ):
                await anyio.lowlevel.checkpoint()
                return
            if self._drained is None:
                self._drained = anyio.Event()
                self._core.parts.append(REPLY.pack(self.handle, 0, 0, _DRAIN, 0))
                self._core.flush_soon()
            await self._drained.wait()
        raise self.closed()

    async def ping(self) -> float:
        if self.close_code is not None:
            raise self.closed()
        begun = monotonic()
        if self._ponged is None:
            self._pings = (self._pings + 1) & 0xFFFFFFFF or 1
            self._ponged = anyio.Event()
            self._core.parts.append(
                REPLY.pack(self.handle, _NUMBER.size, 0, _PING, 0) + _NUMBER.pack(self._pings)
            )
            self._core.flush_soon()
        await self._ponged.wait()
        if self.close_code is not None:
            raise self.closed()
        return monotonic() - begun

    def close(self, code: int, reason: str) -> None:
        if self._stage != _ACCEPTED or not self.end(code, reason):
            return
        said = reason.encode()[:_LONGEST_REASON]
        self._core.parts += (REPLY.pack(self.handle, len(said), code, _SHUT, 0), said)
        self._core.flush_soon()
        self._set_ponged()

    def abort(self) -> None:
        if self._stage == _ACCEPTED:
            self._core.parts.append(REPLY.pack(self.handle, 0, 0, _CUT, 0))
        elif self._stage == _ASKED:
            self._core.abort(self.handle)
            self._stage = _OVER
        self._core.flush_soon()
        self._connected = False
        self.end(_ABNORMAL, "")
        self._set_drained()
        self._set_ponged()

    @classmethod
    def broadcast(cls, channels: Iterable[Self], message: str | bytes) -> Sequence[Self]:
        data, flags = _data(message)
        cores: dict[Core, list[Self]] = {}
        left_out = []
        for each in channels:
            if each._stage == _ACCEPTED:
                cores.setdefault(each._core, []).append(each)
            else:
                left_out.append(each)
        for core, members in cores.items():
            handles = [each.handle for each in members]
            left_out += [members[i] for i in core.broadcast(handles, data, flags)]
        return left_out


def _data(message: str | bytes) -> tuple[bytes, int]:
    if isinstance(message, str):
        return message.encode(), _TEXT
    # Whatever has bytes: what is collected for the library has to be those themselves.
    return message if message.__class__ is bytes else bytes(memoryview(message)), 0


_DEFAULT: Final = ChannelLimits()


@lru_cache(maxsize=64)
def _packed(limits: ChannelLimits) -> bytes:
    """A ``cv_channel_limits``."""
    return _LIMITS.pack(
        limits.message_timeout,
        limits.ping_interval,
        limits.ping_timeout,
        limits.close_timeout,
        *(
            min(each, _LARGEST)
            for each in (
                limits.max_message_bytes,
                limits.max_fragments,
                limits.max_control_frames,
                limits.max_queue_bytes,
                limits.max_queue_messages,
                limits.compress_from,
                int(limits.compression),
                0,
            )
        ),
    )
