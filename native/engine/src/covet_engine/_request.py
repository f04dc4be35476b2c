"""The request as the engine holds it: one object, which is also the pool's exchange.

Everything about it stays where it arrived, in the arena, until somebody asks. The arena's bytes are
given back with the answer; a request that somebody still holds then keeps a copy of its head.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct
from time import monotonic
from typing import Any, BinaryIO, ClassVar, Final
from urllib.parse import unquote

import anyio
import anyio.lowlevel

from covet_engine._core import ANSWER, NO_LENGTH, REPLY, Core, Flag, Kind
from covet_engine._exchange import Incoming, Outgoing
from covet_http import (
    ClientCertificate,
    EventStreams,
    Malformed,
    Reply,
    Request,
    ResponseHead,
    Route,
    StreamAbortedError,
)
from covet_operations import Endpoint, OperationError, ended

# Where things are in a `cv_request`.
_HEAD: Final = Struct("=II").unpack_from  # at 0: offset and size
_BODY: Final = 8
_LENGTH: Final = 16
_METHOD: Final = 24
_PATH: Final = 32
_QUERY: Final = 36
_HEAD_FLAGS: Final = 48
_PARAMS: Final = 52
_FAMILY: Final = 86
_PEER: Final = 88
_ARRIVED: Final = 104
_ABSENT: Final = 112
_WHOLE: Final = 240

_span: Final = Struct("=HH").unpack_from
_long: Final = Struct("=Q").unpack_from
_short: Final = Struct("=H").unpack_from
# From _HEAD_FLAGS: the flags, how many path parameters there are, and where the first is.
_path_params: Final = Struct("=HxBHH").unpack_from
_double: Final = Struct("=d").unpack_from

_HAS_ESCAPES: Final = 1 << 6  # enum cv_head_flag
_HAS_AUTHORIZATION: Final = 1 << 7
_HAS_CERTIFICATE: Final = 1 << 13

_IS_JSON: Final = int(Flag.BODY_JSON)
_HERE: Final = int(Flag.BODY_COMPLETE | Flag.BODY_NONE)
_COMPLETE: Final = int(Flag.BODY_COMPLETE)
_NONE: Final = int(Flag.BODY_NONE)
_HEAD_ONLY: Final = int(Flag.HEAD_ONLY)
_DEADLINE: Final = 1
_BEAT: Final = 2
_REQUEST_TIMEOUT: Final = 408
# So many items are sent in a row before others get a turn.
_BURST: Final = 64


class _Probe:
    def references(self) -> int:
        return sys.getrefcount(self)


def _alone() -> int:
    """How often an object is referred to in a method of its own, called through one variable."""
    probe = _Probe()
    return probe.references()


# Later versions count references of variables in ways of their own: then every request counts as held.
_ALONE: Final = _alone() if sys.version_info < (3, 14) else 0


class RequestOverError(RuntimeError):
    """A request was used after its answer was complete, in a way that needs its connection."""

    def __init__(self) -> None:
        super().__init__("the request is over: its answer is complete")


class EngineRequest(Request):
    """One request. The classes of routes derive from it and fill in what is the same for all of theirs.

    Attributes:
        handle: The engine's name for it.
    """

    __slots__ = ("_at", "_flags", "handle")

    core: ClassVar[Core]
    route: ClassVar[Route]
    endpoint: ClassVar[Endpoint[Any]]
    code: ClassVar[int]
    timeout: ClassVar[float]

    # What most requests never touch, so that making one stores next to nothing.
    streaming = False
    secure = False
    _shown: ClientCertificate | None = None
    _headers = None
    _query = None
    _response: ResponseHead | None = None
    _buffer: Any
    _head: bytes | None = None
    _values: Sequence[str] | None = None
    _unpack: Callable[[Any, int], tuple[Any, ...]] | None = None
    _deadline: float | None = None
    _incoming: Incoming | None = None
    _outgoing: Outgoing | None = None
    _taken = False
    _gone = False
    _over = False
    _burst = 0

    def __init__(self, handle: int, at: int, size: int, flags: int) -> None:
        self.handle = handle
        self._at = at
        self._flags = flags

    # What the pool calls.

    def start(self) -> Coroutine[Any, Any, Any] | None:
        raise NotImplementedError

    def finish(self, result: Any) -> None:
        """Answer with what the chain has left in ``body``."""
        if self._response is not None:
            self._vary()
            return
        body = self.body
        if body.__class__ is not bytes:
            body = bytes(memoryview(body))
        self.core.parts += (REPLY.pack(self.handle, len(body), self.code, ANSWER, 0), body)
        if self.scope is not None or sys.getrefcount(self) > _ALONE:
            self._leave()

    def fail(self, error: BaseException) -> None:
        core = self.core
        try:
            reply = self.route.failed(self, self._typed(error))
            if reply is None:
                core.drop(self.handle)
            else:
                self._reply(reply)
        except StreamAbortedError as aborted:
            core.abort(self.handle, aborted.status)
        finally:
            self._leave()

    def suspended(self, scope: anyio.CancelScope) -> None:
        self.scope = scope
        self.core.live[self.handle] = self
        if self._deadline is None:
            if self.timeout != math.inf:
                arrived: float = _double(self._buffer, self._at + _ARRIVED)[0]
                self.core.arm(self.handle, _DEADLINE, arrived + self.timeout - monotonic())
        elif self._deadline != math.inf:
            self.core.arm(self.handle, _DEADLINE, self._deadline - anyio.current_time())
        if self.cause is not None:
            scope.cancel()

    def on_event(self, kind: int, at: int, size: int, flags: int, extra: int) -> None:
        if kind == Kind.BODY:
            if self._incoming is not None:
                self._incoming.on_body(at, size, flags)
        elif kind == Kind.ROOM:
            if self._outgoing is not None:
                self._outgoing.on_room(size)
        elif kind == Kind.TIMER:
            self._on_timer(extra)
        else:
            self._gone = True
            if self._incoming is not None:
                self._incoming.on_gone()
            if self._outgoing is not None:
                self._outgoing.on_gone()
            self.endpoint.disconnect(self)

    def _on_timer(self, number: int) -> None:
        if self._deadline != math.inf:
            self.cancel("deadline")

    def unlimited(self) -> None:
        self._deadline = math.inf

    # What was sent.

    @property
    def head_only(self) -> bool:  # type: ignore[override]
        return bool(self._flags & _HEAD_ONLY)

    @property
    def method(self) -> str:  # type: ignore[override]
        return self._part(_METHOD).decode("ascii")

    @property
    def path(self) -> str:  # type: ignore[override]
        return self._part(_PATH).decode("ascii")

    @property
    def path_values(self) -> Sequence[str]:  # type: ignore[override]
        values = self._values
        if values is None:
            buffer, at, head = self._buffer, self._at, self._head or self._bytes()
            flags, count, begin, size = _path_params(buffer, at + _HEAD_FLAGS)
            if count == 1 and not flags & _HAS_ESCAPES:
                values = self._values = [head[begin : begin + size].decode("ascii")]
                return values
            values = []
            for offset in range(at + _PARAMS, at + _PARAMS + 4 * count, 4):
                begin, size = _span(buffer, offset)
                values.append(head[begin : begin + size].decode("ascii"))
            if flags & _HAS_ESCAPES:
                # The engine has found them to be decodable before it looked for a route.
                values = [unquote(value, errors="strict") for value in values]
            self._values = values
        return values

    def ahead(self) -> Sequence[Any] | None:
        unpack = self._unpack
        if unpack is None:
            return None
        found = unpack(self._buffer, self._at + _ABSENT)
        return found if found[0] >= 0 else None

    @property
    def query_string(self) -> bytes:  # type: ignore[override]
        begin, size = _span(self._buffer, self._at + _QUERY)
        return (self._head or self._bytes())[begin : begin + size]

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:  # type: ignore[override]
        headers = []
        for line in self._bytes()[:-4].split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            headers.append((name, value.strip(b" \t")))
        return headers

    @property
    def client(self) -> str | None:  # type: ignore[override]
        buffer, at = self._buffer, self._at
        family = buffer[at + _FAMILY]
        if family == 4:
            return inet_ntop(AF_INET, bytes(buffer[at + _PEER : at + _PEER + 4]))
        if family == 6:
            return inet_ntop(AF_INET6, bytes(buffer[at + _PEER : at + _PEER + 16]))
        return None

    @property
    def deadline(self) -> float:
        deadline = self._deadline
        if deadline is None:
            deadline = math.inf
            if self.timeout != math.inf:
                arrived: float = _double(self._buffer, self._at + _ARRIVED)[0]
                deadline = arrived + self.core.clock + self.timeout
        return deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = value

    def header(self, name: bytes) -> bytes | None:
        head = self._bytes()
        line = b"\r\n%b:" % name
        at = head.find(line)
        if at < 0:
            return None
        at += len(line)
        if head.find(line, at) >= 0:
            raise Malformed(f"the header {name.decode('ascii')!r} comes twice")
        return head[at : head.find(b"\r\n", at)].strip(b" \t")

    @property
    def certificate(self) -> ClientCertificate | None:
        if self._shown is None:
            flags = _short(self._buffer, self._at + _HEAD_FLAGS)[0]
            if flags & _HAS_CERTIFICATE and not self._over:
                shown = self.core.certificate(self.handle)
                self._shown = shown and shown.certificate
        return self._shown

    def credentials(self) -> Any:
        flags = _short(self._buffer, self._at + _HEAD_FLAGS)[0]
        if flags & (_HAS_AUTHORIZATION | _HAS_CERTIFICATE):
            return super().credentials()
        return None

    def declared_length(self) -> int | None:
        length: int = _long(self._buffer, self._at + _LENGTH)[0]
        return None if length == NO_LENGTH else length

    def require_content(self, *expected: str) -> None:
        if not self._flags & _IS_JSON or expected[0] != "application/json":
            super().require_content(*expected)

    # The body.

    @property
    def buffered(self) -> bytes | None:
        flags = self._flags
        if flags & _NONE:
            return b""
        if flags & _HERE:
            if self._over:
                raise RequestOverError
            buffer = self._buffer
            at, size = _HEAD(buffer, self._at + _BODY)
            return buffer[at : at + size].tobytes()  # type: ignore[no-any-return]
        return None

    def body_now(self, limit: int | None = None) -> bytes | None:
        if self._flags & _HERE != _COMPLETE or self._over:
            return super().body_now(limit)
        buffer = self._buffer
        at, size = _HEAD(buffer, self._at + _BODY)
        if size > (self.limits.max_body_bytes if limit is None else limit):
            return super().body_now(limit)  # which refuses it
        return buffer[at : at + size].tobytes()  # type: ignore[no-any-return]

    async def read(self) -> bytes:
        if self._over:
            raise RequestOverError
        whole = None if self._taken else self.buffered
        if whole is not None or self._flags & _HERE:
            self._taken = True
            return whole or b""
        incoming = self._incoming
        if incoming is None:
            incoming = self._incoming = Incoming(self.core, self.handle)
            if self._gone:
                incoming.on_gone()
        while True:
            piece = await incoming.read()
            if piece or not incoming.broken:
                return piece
            self.disconnected = True
            # Without its body no policy could finish the call.
            self.cancel("disconnect")
            await anyio.lowlevel.checkpoint()

    # A stream out.

    async def send(self, item: Any) -> None:
        if self._over:
            raise RequestOverError
        core, outgoing = self.core, self._outgoing
        if outgoing is None:
            outgoing = self._begin(item)
        else:
            if not outgoing.open:
                await outgoing.room()
                self._burst = 0
                if self._over:
                    raise RequestOverError
            if not self._flags & _HEAD_ONLY and not outgoing.gone:
                core.chunk(self.handle, item)
        if not self._flags & _HEAD_ONLY:
            outgoing.take(len(item))
        core.flush_soon()
        self._burst += 1
        if self._burst >= _BURST or outgoing.gone:
            self._burst = 0
            await anyio.lowlevel.checkpoint()

    async def send_span(self, file: BinaryIO, at: int, size: int) -> bool:
        if self._over:
            raise RequestOverError
        core = self.core
        outgoing = self._outgoing or self._begin(b"")
        if not outgoing.gone and not core.file(self.handle, file.fileno(), at, size):
            return False
        core.flush_soon()
        # The client reads at its own pace, and nobody here need wait for it.
        await anyio.lowlevel.checkpoint()
        return True

    def _begin(self, first: bytes) -> Outgoing:
        """The head of a stream and its first bytes."""
        self.streaming = True
        self._outgoing = outgoing = Outgoing(self.core)
        if self._gone:
            outgoing.on_gone()
        else:
            body = b"" if self._flags & _HEAD_ONLY else first
            status, headers = self.route.head(self)
            lines = every_field(headers)
            self.core.reply(self.handle, status, lines, body, more=True)
        return outgoing

    def _end_stream(self, last: bytes = b"") -> None:
        outgoing = self._outgoing or self._begin(b"")
        if outgoing.gone:
            self.core.drop(self.handle)
        else:
            self.core.chunk(self.handle, b"" if self._flags & _HEAD_ONLY else last, more=False)
        self._leave()

    # The end.

    def _typed(self, error: BaseException) -> OperationError:
        """The error to answer with, whatever was raised."""
        scope = self.scope
        if scope is not None and not isinstance(error, Exception):
            everything = not scope.cancel_called and anyio.current_effective_deadline() == -math.inf
            if everything and self.cause is None:
                self.cause = "shutdown"
            if everything or scope.cancel_called:
                cancelled = anyio.get_cancelled_exc_class()
                if isinstance(error, cancelled):
                    return ended(self)
                if isinstance(error, BaseExceptionGroup):
                    rest = error.split(cancelled)[1]
                    if rest is None:
                        return ended(self)
                    error = rest
        # What is no Exception ends here too: there is one request to answer, and others to serve.
        return self.endpoint.failure(self, error)  # type: ignore[arg-type]

    def _vary(self) -> None:
        """Answer with headers that are not the same for every request of the route."""
        self._reply(self.route.succeeded(self, self.body))
        self._leave()

    def _reply(self, reply: Reply) -> None:
        status, headers, body = reply
        lines = fields(headers)
        if status == _REQUEST_TIMEOUT:
            # Whoever takes too long for a body is not waited for to send the rest of it.
            lines += b"connection: close\r\n"
        self.core.reply(self.handle, status, lines, body)

    def _leave(self) -> None:
        """The answer is complete: take what somebody may still ask for, and let go of the rest."""
        if self._over:
            return
        core, at = self.core, self._at
        if self.scope is not None:
            self.scope = None
            core.live.pop(self.handle, None)
        self._bytes()
        self._buffer = bytes(core.arena[at : at + _WHOLE])
        self._at = 0
        self._over = True

    def _part(self, offset: int) -> bytes:
        at, size = _span(self._buffer, self._at + offset)
        return self._bytes()[at : at + size]

    def _bytes(self) -> bytes:
        """The whole head, copied when it is first asked for."""
        head = self._head
        if head is None:
            buffer = self._buffer  # the arena: `_leave` asks for the head before it is another
            at, size = _HEAD(buffer, self._at)
            head = self._head = buffer[at : at + size].tobytes()
        return head


class EmptyRequest(EngineRequest):
    """Of a route whose success has no body."""

    __slots__ = ()

    def finish(self, result: Any) -> None:
        if self._response is not None:
            self._vary()
            return
        self.core.parts.append(REPLY.pack(self.handle, 0, self.code, ANSWER, 0))
        if self.scope is not None or sys.getrefcount(self) > _ALONE:
            self._leave()


class VariableRequest(EngineRequest):
    """Of a route whose success has headers that depend on the result."""

    __slots__ = ()

    def finish(self, result: Any) -> None:
        self._vary()


class ResultRequest(EngineRequest):
    """Of a route whose results may bring their own status, headers and way of being sent."""

    __slots__ = ()

    def finish(self, result: Any) -> None:
        if self._outgoing is not None:
            self._end_stream()
        else:
            self._vary()


class StreamRequest(EngineRequest):
    """Of a route that streams its answer."""

    __slots__ = ()

    def finish(self, result: Any) -> None:
        self._end_stream()


class EventsRequest(StreamRequest):
    """Of a route that streams events: kept alive by the engine's timer, ended when the phase drains."""

    __slots__ = ()

    kept_alive = True
    events: ClassVar[EventStreams]
    _said = 0.0  # when something was sent last, on `monotonic`'s clock
    _until = math.inf

    def suspended(self, scope: anyio.CancelScope) -> None:
        super().suspended(scope)
        deadline = self.deadline
        if deadline != math.inf:
            self._until = deadline - anyio.current_time() + monotonic()
        self._said = monotonic()
        self._arm()
        self.events.add(self)

    def fail(self, error: BaseException) -> None:
        failure = self._typed(error)
        if self.cause == "shutdown" and not self._gone and not self._over:
            self._end_stream(self.route.last_words(self))
        else:
            super().fail(failure)

    async def send(self, item: Any) -> None:
        await super().send(item)
        self._said = monotonic()

    def _on_timer(self, number: int) -> None:
        now = monotonic()
        if number == _DEADLINE or now >= self._until:
            self.cancel("deadline")
            return
        outgoing, comment = self._outgoing, self.events.comment
        if now - self._said >= self.events.keep_alive:
            self._said = now
            if outgoing is None:
                self._begin(comment).take(len(comment))
            elif outgoing.open and not outgoing.gone:
                self.core.chunk(self.handle, comment)
                outgoing.take(len(comment))
            self.core.flush_soon()
        self._arm()

    def _arm(self) -> None:
        """The one timer a request has, for what comes first."""
        beat = self._said + self.events.keep_alive
        if beat < self._until:
            self.core.arm(self.handle, _BEAT, beat - monotonic())
        elif self._until != math.inf:
            self.core.arm(self.handle, _DEADLINE, self._until - monotonic())

    def _leave(self) -> None:
        self.events.discard(self)
        super()._leave()


class UnroutedRequest(EngineRequest):
    """One whose route is not known yet: there to be looked at."""

    __slots__ = ()


class Answered:
    """An exchange that needs no handler: its answer is there.

    Attributes:
        handle: The engine's name for it.
    """

    __slots__ = ("_core", "_reply", "handle")

    def __init__(self, core: Core, handle: int, reply: Reply) -> None:
        self.handle = handle
        self._core = core
        self._reply = reply

    def start(self) -> None:
        """There is nothing to begin."""

    def finish(self, result: Any) -> None:
        status, headers, body = self._reply
        self._core.reply(self.handle, status, fields(headers), body)

    def fail(self, error: BaseException) -> None:
        self._core.abort(self.handle)

    def suspended(self, scope: anyio.CancelScope) -> None:
        raise NotImplementedError

    def on_event(self, kind: int, at: int, size: int, flags: int, extra: int) -> None:
        """Nothing more can happen to it."""


def fields(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as the engine takes them, which adds the length by itself."""
    return every_field([line for line in headers if line[0] != b"content-length"])


def every_field(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The same with the length, for a stream whose length is known.

    Raises:
        ValueError: A line end in one of them would make two of it, which the engine could not tell.
    """
    lines = b"".join([b"%b: %b\r\n" % line for line in headers])
    if lines.count(b"\n") != len(headers):
        raise ValueError("a line end in a header")
    return lines
