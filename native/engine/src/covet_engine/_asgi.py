"""Any ASGI 3 application on the engine: one coroutine per request, in the pool of workers.

An exchange holds the head of an answer back until it knows the first bytes of the body, so that a
complete answer is one reply. ``receive`` and ``send`` wait only where they have to: for a piece of a
body that is still on its way, and for a client that does not read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

import anyio
import anyio.lowlevel

from covet_engine._core import Core, Event, Flag, Kind
from covet_engine._exchange import Outgoing
from covet_http import CERTIFICATE, DISCONNECT, Message, StreamAbortedError
from covet_kernel.contracts import Cause

if TYPE_CHECKING:
    from covet_http import Application, Receive, Scope, Send

log = logging.getLogger("covet.engine")

Address = tuple[str, int | None]

# Of `cv_request`: head, head_size, body, body_size; method, target, path and query as at and size;
# head_flags, minor; port, family, listener, peer.
_REQUEST: Final = Struct("=4I8x8H8xHB33xHBB16s136x")
_REQUESTED: Final = int(Kind.REQUEST)
# Of enum cv_head_flag: the path has a '%'; the connection is TLS, of 1.3; its client has a certificate.
_ESCAPED: Final = 1 << 6
_TLS: Final = 1 << 11
_TLS_1_3: Final = 1 << 12
_CERTIFICATE: Final = 1 << 13
_VERSION_LINE_END: Final = len(" HTTP/1.1\r\n")
_VERSIONS: Final = ("1.0", "1.1", "2")
_BLANKS: Final = b" \t"

# One line of an answer's fields. Whatever could end the line or begin another one is not in it.
LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n").fullmatch
_length: Final = re.compile(rb"[0-9]{1,18}").fullmatch
_OURS: Final = frozenset((b"connection", b"content-length", b"keep-alive", b"transfer-encoding"))
_NOT_TRAILING: Final = _OURS | {
    b"authorization", b"cache-control", b"content-encoding", b"content-range", b"content-type",
    b"date", b"expect", b"host", b"set-cookie", b"te", b"trailer",
}  # fmt: skip
# Fields that an application sends with the same few values again and again, and their lines.
_CONSTANT: Final = frozenset(
    (b"cache-control", b"content-type", b"server", b"vary", b"x-content-type-options",
     b"x-frame-options", b"referrer-policy", b"strict-transport-security")
)  # fmt: skip
_MOST_USUAL: Final = 256
_LONGEST_USUAL: Final = 128
_usual: dict[Any, bytes] = {}
# The same for requests: fields that a client sends with every one of them, and nobody's secrets.
_CONSTANT_ASKED: Final = frozenset(
    (b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"connection",
     b"content-type", b"dnt", b"host", b"origin", b"pragma", b"sec-ch-ua", b"sec-ch-ua-mobile",
     b"sec-ch-ua-platform", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site",
     b"sec-fetch-user", b"sec-websocket-extensions", b"sec-websocket-version",
     b"upgrade", b"upgrade-insecure-requests", b"user-agent", b"x-forwarded-proto")
)  # fmt: skip
_MOST_ASKED: Final = 1024
_asked: dict[bytes, tuple[bytes, bytes]] = {}
_WITHOUT_BODY: Final = (204, 205, 304)

_PLAIN: Final = b"content-type: text/plain; charset=utf-8\r\n"
_FAILED: Final = 500
_STOPPED: Final = 503
_SORRY: Final = {_FAILED: b"Internal Server Error", _STOPPED: b"Service Unavailable"}

# How far an answer is. The head is held back until the first bytes of the body are there.
_NOTHING: Final = 0
_HEAD: Final = 1
_STREAMING: Final = 2
_TRAILERS: Final = 3
_COMPLETE: Final = 4
_EXPECTED: Final = (
    "'http.response.start' has to come first",
    "'http.response.body' has to follow the start",
    "the body is not complete",
    "trailers were announced",
    "the answer is complete",
)

# So many pieces are sent in a row before others get a turn.
_BURST: Final = 64
_MOST_PEERS: Final = 4096
# What Starlette, and all that is made of it, raises for an ``http.disconnect``.
_LEFT: Final = "ClientDisconnect"
_FAMILIES: Final = {4: AF_INET, 6: AF_INET6}


class ClientDisconnectedError(OSError):
    """What ``send`` raises once the client is gone, as ASGI has it since its version 2.4."""


class WithState:
    """An application, and what it has made when it was started: each scope has a copy of that."""

    def __init__(self, application: Application, state: dict[str, Any]) -> None:
        self.application = application
        self.state = state

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        scope["state"] = self.state.copy()
        return self.application(scope, receive, send)


class AsgiTarget:
    """What a route leads to where an ASGI application answers: makes the exchanges.

    Args:
        core: The engine.
        application: Called as ASGI 3 says.
        servers: Where the listening sockets are bound, in the order of their adoption: host and
            port, or path and ``None``.
    """

    def __init__(
        self, core: Core, application: Application, servers: Sequence[Address | None] = ()
    ) -> None:
        self.core = core
        self.state: dict[str, Any] | None = None
        self.application: Callable[..., Awaitable[Any]] = application
        if isinstance(application, WithState):
            self.application, self.state = application.application, application.state
        self.servers: Sequence[Address | None] = [*servers, *[None] * (256 - len(servers))]
        self._made: dict[int, AsgiExchange] = {}

    def __call__(self, handle: int, at: int, size: int, flags: int) -> AsgiExchange:
        return self._made.pop(handle, None) or AsgiExchange(self, handle, at, flags)

    def foresee(self, events: Sequence[Event]) -> None:
        """Make the exchanges of a batch before the first of them is run.

        What makes them and what applications do take turns in the processor's caches otherwise,
        which costs more than the making.
        """
        self._made.clear()
        for handle, at, _, route, kind, flags, _ in events:
            if kind == _REQUESTED and not route:
                self._made[handle] = AsgiExchange(self, handle, at, flags)


class _Serves(Protocol):
    """What the scopes of a target's requests have in common."""

    core: Core
    state: dict[str, Any] | None
    servers: Sequence[Address | None]


def scope_of(target: _Serves, handle: int, at: int) -> tuple[Scope, int, int]:
    """The scope of a request, but for what its answer may be; where in the arena its body is, and its size.

    Args:
        target: What the request led to.
        handle: The engine's name for it.
        at: Where in the arena its record is.
    """
    arena = target.core.arena
    (
        head_at, head_size, body_at, body_size,
        method_at, method_size, target_at, target_size,
        path_at, path_size, query_at, query_size,
        head_flags, minor, port, family, listener, peer,
    ) = _REQUEST.unpack_from(arena, at)  # fmt: skip
    head = bytes(arena[head_at : head_at + head_size])
    fields = head[target_at + target_size + _VERSION_LINE_END : -4]
    usual = _asked.get
    headers = [usual(line) or _pair(line) for line in fields.split(b"\r\n")] if fields else []
    raw_path = head[path_at : path_at + path_size]
    path = raw_path.decode("latin-1")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": _VERSIONS[minor],
        "method": head[method_at : method_at + method_size].decode("ascii"),
        "scheme": "http",
        "path": unquote(path) if head_flags & _ESCAPED else path,
        "raw_path": raw_path,
        "query_string": head[query_at : query_at + query_size],
        "root_path": "",
        "headers": headers,
        "client": (_address(family, peer), port) if family else None,
        "server": target.servers[listener],
        "extensions": {},
    }
    if target.state is not None:
        scope["state"] = target.state.copy()
    if head_flags & _TLS:
        scope["scheme"] = "https"
        _tell_of_tls(target.core, handle, scope["extensions"], head_flags)
    return scope, body_at, body_size


def _tell_of_tls(core: Core, handle: int, extensions: dict[str, Any], head_flags: int) -> None:
    from covet_engine._tls import extension

    shown = core.certificate(handle) if head_flags & _CERTIFICATE else None
    extensions["tls"] = extension(shown, newest=bool(head_flags & _TLS_1_3))
    if shown is not None:
        extensions[CERTIFICATE] = shown.certificate


class AsgiExchange:
    """One request and its answer as ASGI messages.

    ``receive`` and ``send`` may be called from any task of this event loop, and at any time: also
    when the answer is complete, or its client is gone.
    """

    __slots__ = (
        "_asked", "_at", "_bodiless", "_body", "_burst", "_call", "_chunked", "_close", "_core", "_declared", "_event",
        "_fields", "_fields_behind", "_flags", "_gone", "_more", "_on_disconnect", "_out", "_scope",
        "_sent", "_state", "_status", "_target", "_trailing", "handle",
    )  # fmt: skip

    def __init__(self, target: AsgiTarget, handle: int, at: int, flags: int) -> None:
        self.handle = handle
        self._target = target
        self._core = target.core
        self._at = at
        self._flags = flags
        # Coming in: a piece that waits for `receive`, whether another one follows, and is asked for.
        self._body: bytes | None = None
        self._more = False
        self._asked = False
        self._event: anyio.Event | None = None
        self._gone = False
        self._on_disconnect: list[Callable[[], object]] | None = None
        # Going out.
        self._state = _NOTHING
        self._out: Outgoing | None = None
        self._sent = 0
        self._burst = 0
        self._fields_behind = b""
        self._call = self._asked_for()

    def _asked_for(self) -> Scope:
        """The scope. The first piece of the body is kept as well."""
        scope, body_at, body_size = scope_of(self._target, self.handle, self._at)
        flags = self._flags
        if flags & 3:  # Flag.BODY_COMPLETE or Flag.BODY_NONE
            here = self._core.arena[body_at : body_at + body_size]
            self._body = b"" if flags & 2 else bytes(here)
        else:
            self._more = True
        self._chunked = scope["http_version"] != "1.0"
        extensions = scope["extensions"]
        extensions[DISCONNECT] = {"subscribe": self.subscribe}
        extensions["http.response.trailers"] = {}
        return scope

    # What the pool calls.

    def start(self) -> Coroutine[Any, Any, Any]:
        answering = self._target.application(self._call, self.receive, self.send)
        return answering if answering.__class__ is CoroutineType else awaited(answering)

    def finish(self, result: Any) -> None:
        live = self._core.live
        if live:
            live.pop(self.handle, None)
        if self._state != _COMPLETE:
            if not self._gone:
                log.error("the ASGI application returned, and %s", _EXPECTED[self._state])
            self._end(_FAILED)

    def fail(self, error: BaseException) -> None:
        self._core.live.pop(self.handle, None)
        stopped = isinstance(error, anyio.get_cancelled_exc_class())
        if stopped or isinstance(error, StreamAbortedError):
            pass  # told of the end, or logged where it happened
        elif self._gone and _comes_of_leaving(error):
            log.debug("the client left: %r", error)
        else:
            log.error("the ASGI application failed", exc_info=error)
        if self._state != _COMPLETE:
            self._end(_STOPPED if stopped else _FAILED)

    def suspended(self, scope: anyio.CancelScope) -> None:
        # To the end of the coroutine, so that stopping waits for what it does behind its answer.
        self._core.live[self.handle] = self
        self._scope = scope

    def cancel(self, cause: Cause) -> None:
        """End it; it is answered 503 if it was not answered yet. Only once it has waited."""
        self._scope.cancel()

    def on_event(self, kind: int, at: int, size: int, flags: int, extra: int) -> None:
        if kind == Kind.BODY:
            self._asked = False
            if flags & Flag.BODY_BROKEN:
                self._leave()
            else:
                self._body = bytes(self._core.arena[at : at + size])
                self._more = not flags & Flag.BODY_COMPLETE
            self._wake()
        elif kind == Kind.ROOM:
            if self._out is not None:
                self._out.on_room(size)
        elif kind == Kind.GONE:
            self._leave()
            self._wake()
        elif kind == Kind.REFUSED:
            log.error("an answer could not be sent as it was; the client got %d", extra)
            self._leave()
            self._wake()

    # What the application calls.

    def subscribe(self, on_disconnect: Callable[[], object]) -> None:
        """Have ``on_disconnect`` called if the client goes away before it has its answer."""
        if self._gone:
            on_disconnect()
        elif self._on_disconnect is None:
            self._on_disconnect = [on_disconnect]
        else:
            self._on_disconnect.append(on_disconnect)

    async def receive(self) -> Message:
        """ASGI's ``receive``."""
        while True:
            body = self._body
            if body is not None and self._state != _COMPLETE:
                self._body = None
                return {"type": "http.request", "body": body, "more_body": self._more}
            if self._gone or self._state == _COMPLETE:
                return {"type": "http.disconnect"}
            if self._more and not self._asked:
                self._asked = True
                self._core.read(self.handle)
                self._core.flush_soon()
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()

    async def send(self, message: Message) -> None:
        """ASGI's ``send``.

        Raises:
            ClientDisconnectedError: Nobody is there to send to.
            ValueError: A field, status or length is not possible; nothing of it was sent.
            RuntimeError: This message does not follow the one before.
        """
        kind, state = message["type"], self._state
        if kind == "http.response.start" and state == _NOTHING:
            self._begin(message)
        elif kind == "http.response.body" and _HEAD <= state <= _STREAMING:
            body = message.get("body", b"")
            if body.__class__ is not bytes:
                body = bytes(memoryview(body))
            more = message.get("more_body", False)
            if state == _STREAMING or more or self._trailing:
                await self._send_piece(body, more)
            else:
                self._send_whole(body)
        elif kind == "http.response.trailers" and state == _TRAILERS:
            self._send_trailers(message)
        elif self._gone:
            raise ClientDisconnectedError("the client has left")
        else:
            raise RuntimeError(f"{kind!r} was sent, and {_EXPECTED[state]}")

    # The answer, from its head to its end.

    def _begin(self, message: Message) -> None:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 999:
            raise ValueError(f"{status!r} is no status of an answer")
        fields = b""
        declared = None
        close = False
        for said, value in message.get("headers", ()):
            if said.__class__ is bytes and value.__class__ is bytes:
                line = _usual.get((said, value))
                if line is not None:
                    fields += line
                    continue
                if said == b"content-length" and declared is None and _length(value):
                    declared = int(value)
                    continue
            line = b"%b: %b\r\n" % (said, value)
            if not LINE(line):
                raise ValueError(f"{bytes(said)!r}: {bytes(value)!r} is no header field")
            name = bytes(said).lower()
            if name not in _OURS:
                fields += line
                if name in _CONSTANT and len(_usual) < _MOST_USUAL and len(line) < _LONGEST_USUAL:
                    _usual[bytes(said), bytes(value)] = line
            elif name == b"content-length":
                if declared is not None or not _length(value):
                    raise ValueError(f"{bytes(value)!r} is no content-length, or the second one")
                declared = int(value)
            elif name == b"connection":
                close = close or b"close" in value.lower()
        self._status = int(status)
        self._bodiless = bool(self._flags & 4) or status in _WITHOUT_BODY  # Flag.HEAD_ONLY
        self._fields = fields
        self._declared = declared
        self._close = close
        self._trailing = bool(message.get("trailers", False))
        self._state = _HEAD

    def _send_whole(self, body: bytes) -> None:
        """Head and body in one reply, which gets its length from the library."""
        declared, fields = self._declared, self._fields
        if self._gone:
            self._reach()
        if declared is not None:
            if self._bodiless:
                # The length of what is not sent: of the answer to GET, or of what has not changed.
                fields = b"%bcontent-length: %d\r\n" % (fields, declared)
            elif declared != len(body):
                raise ValueError(f"a body of {len(body)} bytes, and content-length is {declared}")
        self._core.reply(self.handle, self._status, fields, body, close=self._close)
        self._complete()

    async def _send_piece(self, body: bytes, more: bool) -> None:
        if self._bodiless:
            body = b""
        else:
            self._count(len(body), more)
        self._reach()
        core, handle, out = self._core, self.handle, self._out
        self._burst += 1
        if out is not None and not out.open:
            await out.room()
            self._burst = 0
            self._reach()
        elif self._burst > _BURST:
            await anyio.lowlevel.checkpoint()
            self._burst = 0
            self._reach()
        last = not more and not self._trailing
        if out is None:
            fields = self._fields
            if self._declared is not None:
                fields = b"%bcontent-length: %d\r\n" % (fields, self._declared)
            self._out = out = Outgoing(core)
            core.reply(handle, self._status, fields, body, more=True, close=self._close)
            if last:
                core.chunk(handle, b"", more=False)
        elif body or last:
            core.chunk(handle, body, more=not last)
        if last:
            self._complete()
        else:
            out.take(len(body))
            self._state = _STREAMING if more else _TRAILERS
            core.flush_soon()

    def _send_trailers(self, message: Message) -> None:
        lines = self._fields_behind
        for name, value in message.get("headers", ()):
            line = b"%b: %b\r\n" % (name, value)
            if not LINE(line) or name.lower() in _NOT_TRAILING:
                raise ValueError(f"{bytes(name)!r}: {bytes(value)!r} is no trailer field")
            lines += line
        if message.get("more_trailers", False):
            self._fields_behind = lines
            return
        self._reach()
        if lines and self._chunked:
            self._core.trailers(self.handle, lines)
        else:
            self._core.chunk(self.handle, b"", more=False)
        self._complete()

    def _count(self, size: int, more: bool) -> None:
        """Keep what is sent as long as was declared."""
        self._sent += size
        if self._declared is not None and (
            self._sent > self._declared or (self._sent < self._declared and not more)
        ):
            raise ValueError(
                f"a body of {self._sent} bytes, and content-length is {self._declared}"
            )

    def _reach(self) -> None:
        if self._gone or self._state == _COMPLETE:
            raise ClientDisconnectedError("the client has left")

    def _complete(self) -> None:
        self._state = _COMPLETE
        if not self._core.turn:
            self._core.flush_soon()
        if self._event is not None:
            self._wake()

    def _end(self, status: int) -> None:
        """Give up on the application's answer: say so with a status if its head is still held back."""
        core, handle = self._core, self.handle
        if self._gone:
            core.drop(handle)
        elif self._out is None:
            core.reply(handle, status, _PLAIN, _SORRY[status], close=status == _STOPPED)
        else:
            core.abort(handle)
        self._state = _COMPLETE
        self._wake()

    # The client's end.

    def _leave(self) -> None:
        if self._gone:
            return
        # A piece that has come stays to be read, and goes on saying that more would have followed.
        self._gone = True
        if self._out is not None:
            self._out.on_gone()
        told, self._on_disconnect = self._on_disconnect, None
        for on_disconnect in told or ():
            try:
                on_disconnect()
            except Exception:
                log.exception("what was to be told of a client that left has failed")

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()
            self._event = None


def _pair(line: bytes) -> tuple[bytes, bytes]:
    """A request's field."""
    name, _, value = line.partition(b":")
    pair = name, value.strip(_BLANKS)
    if name in _CONSTANT_ASKED and len(_asked) < _MOST_ASKED and len(line) <= _LONGEST_USUAL:
        _asked[line] = pair
    return pair


def _comes_of_leaving(error: BaseException | None) -> bool:
    """Whether this is what `send` raised, or what somebody made of that or of ``http.disconnect``."""
    while error is not None:
        if isinstance(error, OSError) or type(error).__name__ == _LEFT:
            return True
        if isinstance(error, BaseExceptionGroup):
            return all(map(_comes_of_leaving, error.exceptions))
        error = error.__cause__ or error.__context__
    return False


@lru_cache(_MOST_PEERS)
def _address(family: int, peer: bytes) -> str:
    return inet_ntop(_FAMILIES[family], peer[:4] if family == 4 else peer)


async def awaited(answering: Awaitable[Any]) -> None:
    """What an application returns that is not a coroutine, as one."""
    await answering
