"""The ASGI side: covet as an application for any ASGI server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, Protocol, cast
from urllib.parse import quote, quote_from_bytes, unquote

import anyio
import anyio.lowlevel

from covet_http._certificate import CERTIFICATE, ClientCertificate
from covet_http._dispatch import Dispatcher
from covet_http._event_streams import EventStreams
from covet_http._mounts import Mounted, MountedCall
from covet_http._placement import WITHOUT_BODY
from covet_http._request import Limits, Request
from covet_http._route import Reply, Route, StreamAbortedError
from covet_http._server import DISCONNECT, Receive, Scope, Send
from covet_kernel.contracts import Cause

_PATHSEND = "http.response.pathsend"


class AsgiRequest(Request):
    """A request that reads and writes ASGI messages."""

    __slots__ = (
        "_certificate", "_ended", "_extensions", "_receive", "_route", "_send", "_waiting", "head_only",
    )  # fmt: skip

    def __init__(
        self,
        route: Route,
        scope: Scope,
        receive: Receive,
        send: Send,
        path: str,
        values: Sequence[str],
        limits: Limits,
    ) -> None:
        super().__init__(route.operation, route.binding)
        client = scope.get("client")
        self.method = scope["method"]
        self.path = path
        self.path_values = values
        self.query_string = scope["query_string"]
        self.raw_headers = scope["headers"]
        self.client = client[0] if client else None
        self.secure = scope.get("scheme") == "https"
        self.limits = limits
        self._route = route
        self.head_only = self.method == "HEAD"
        self._receive = receive
        self._send = send
        self._ended = False
        self._waiting: anyio.Event | None = None
        self._extensions = extensions = scope.get("extensions")
        self._certificate: ClientCertificate | None = (
            extensions.get(CERTIFICATE) if extensions else None
        )

    # Whether the server itself sends the body, so that nothing follows.
    _handed_over = False

    @property
    def certificate(self) -> ClientCertificate | None:
        return self._certificate

    async def read(self) -> bytes:
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.disconnected = True
                # Without its body no policy could finish the call.
                self.cancel("disconnect")
                await anyio.lowlevel.checkpoint()
                continue
            if not message.get("more_body", False):
                self.body_complete()
            body: bytes = message.get("body", b"")
            if body:
                return body
        return b""

    def body_complete(self) -> None:
        self._ended = True
        if self._waiting is not None:
            self._waiting.set()

    async def send(self, item: Any) -> None:
        if not self.streaming:
            await self._begin()
        if not self.head_only:
            await self._send({"type": "http.response.body", "body": item, "more_body": True})

    async def end(self, last: bytes = b"") -> None:
        """The stream is complete with these bytes."""
        if self._handed_over:
            return
        if not self.streaming:
            await self._begin()
        await self._send({"type": "http.response.body", "body": b"" if self.head_only else last})

    async def send_path(self, path: str) -> bool:
        if not self._extensions or _PATHSEND not in self._extensions:
            return False
        await self._begin()
        self._handed_over = True
        await self._send({"type": _PATHSEND, "path": path})
        return True

    async def _begin(self) -> None:
        self.streaming = True
        status, headers = self._route.head(self)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    def disconnect(self) -> None:
        """The client is gone."""
        self._route.endpoint.disconnect(self)

    async def watch(self) -> None:
        """Return when the client is gone. Leaves the body to `read`."""
        if not self._ended and self.method not in WITHOUT_BODY:
            self._waiting = anyio.Event()
            await self._waiting.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


class AsgiEvents(AsgiRequest):
    """A request whose answer is a stream of events."""

    kept_alive = True

    __slots__ = ("_over", "_sending", "since")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.since = monotonic()
        self._over = False
        # A comment must not get between the pieces of an event, however a server sends.
        self._sending = anyio.Lock(fast_acquire=True)

    async def send(self, item: Any) -> None:
        async with self._sending:
            await super().send(item)
        self.since = monotonic()

    async def end(self, last: bytes = b"") -> None:
        self._over = True
        async with self._sending:
            await super().end(last)

    async def interrupt(self) -> None:
        if self._over or self._sending.locked():
            return
        await self.send(EventStreams.comment)


class Cancellable(Protocol):
    """A call that can be told to stop."""

    def cancel(self, cause: Cause) -> None:
        """Cancel it."""


class AsgiApplication:
    """One serving phase as an ASGI application.

    Attributes:
        dispatcher: The routes, for servers that do not speak ASGI.
        events: Its streams of events.
        in_flight: Requests that are being answered here.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.events = dispatcher.events
        self.in_flight: set[Cancellable] = set()
        self._elsewhere: Callable[[], Iterable[Cancellable]] = tuple

    def track(self, in_flight: Callable[[], Iterable[Cancellable]]) -> None:
        """Let a server that drives calls itself say which of them are in flight."""
        self._elsewhere = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse(scope["type"], receive, send)
            return
        target = scope.get("raw_path")
        if target is None:
            # Bytes that were no text are none here either, and the path is refused for them.
            path = scope["path"].encode("utf-8", "surrogatepass")
            target = quote_from_bytes(path).encode("ascii")
        root = scope.get("root_path", "")
        if root:
            root, target = _unmounted(root, target)
        found = self.dispatcher.resolve(
            scope["method"], target, scope["headers"], scope["query_string"], root
        )
        route = found[0]
        if not isinstance(route, Route):
            if isinstance(route, Mounted):
                if target[:1] != b"/":
                    # In absolute form, of which an application is told no more than the path.
                    plain = cast("str", found[2])
                    scope = {**scope, "path": unquote(plain), "raw_path": plain.encode("ascii")}
                await self._answer_mounted(route, scope, receive, send)
            else:
                await _send_reply(send, cast("Reply", found), scope["method"] == "HEAD")
            return
        _, values, path = cast("tuple[Route, Sequence[str], str]", found)
        make = AsgiEvents if route.events else AsgiRequest
        limits = self.dispatcher.limits_of(route)
        request = make(route, scope, receive, send, path, values, limits)
        watch = None
        extensions = scope.get("extensions")
        if extensions and DISCONNECT in extensions:
            extensions[DISCONNECT]["subscribe"](request.disconnect)
        else:
            watch = request.watch
        self.in_flight.add(request)
        if isinstance(request, AsgiEvents):
            self.events.add(request)
            self.events.watch(request)
        try:
            reply = await route.answer(request, watch)
            if reply is not None:
                await _send_reply(send, reply, request.method == "HEAD")
            elif request.cause != "disconnect":
                await request.end(route.last_words(request))
        except StreamAbortedError:
            # A server of another kind knows that its client has left, and would log a failure.
            if request.cause != "disconnect" or watch is None:
                raise
        finally:
            self.in_flight.discard(request)
            if isinstance(request, AsgiEvents):
                self.events.discard(request)
                self.events.forget(request)

    async def _answer_mounted(
        self, mounted: Mounted, scope: Scope, receive: Receive, send: Send
    ) -> None:
        call = MountedCall()
        self.in_flight.add(call)
        try:
            await call.run(mounted, scope, receive, send)
        finally:
            self.in_flight.discard(call)

    def shut_down(self) -> None:
        """Cancel what is in flight; each of them is answered 503."""
        for request in (*self.in_flight, *self._elsewhere()):
            request.cancel("shutdown")


def _unmounted(root: str, target: bytes) -> tuple[str, bytes]:
    """The root as it was sent, and the target without it.

    Servers disagree on whether the path of a mounted application begins with its root; ASGI says it
    does.
    """
    quoted = quote(root.rstrip("/"), safe="/:@!$&'()*+,;=-._~").encode("ascii")
    for prefix in dict.fromkeys((quoted, root.rstrip("/").encode("utf-8"))):
        if target.startswith(prefix) and target[len(prefix) : len(prefix) + 1] in (b"", b"/"):
            return quoted.decode("ascii"), target[len(prefix) :] or b"/"
    return quoted.decode("ascii"), target


async def _send_reply(send: Send, reply: Reply, head_only: bool) -> None:
    status, headers, body = reply
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head_only else body})


async def _refuse(kind: str, receive: Receive, send: Send) -> None:
    if kind == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    # ASGI has an application raise on what it does not speak; returning would mean success.
    raise NotImplementedError(f"covet-http does not speak {kind!r}")
