"""The ASGI side: covet as an application for any ASGI server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

from covet_http._asgi_request import AsgiEvents, AsgiRequest, request_class
from covet_http._asgi_target import quoted_path, unmounted
from covet_http._dispatch import Dispatcher
from covet_http._mounts import Mounted, MountedCall
from covet_http._route import Reply, Route, StreamAbortedError
from covet_http._server import DISCONNECT, Message, Receive, Scope, Send
from covet_http._watchers import Watchers
from covet_kernel.contracts import Cause
from covet_operations import Pending, ended

if TYPE_CHECKING:
    from covet_http._websocket._dispatch import WebSocketDispatcher

_SHORT: Final = 2048
_LENGTHS: Final[dict[int, tuple[bytes, bytes]]] = {}


class Cancellable(Protocol):
    """A call that can be told to stop."""

    def cancel(self, cause: Cause) -> None:
        """Cancel it."""


class AsgiApplication:
    """One serving phase as an ASGI application.

    Attributes:
        dispatcher: The routes, for servers that do not speak ASGI.
        events: Its streams of events.
        in_flight: Requests that wait, or stream, here.
        watchers: Look for clients that have left, where the server does not say so by itself.

    Args:
        dispatcher: The routes.
        websockets: Makes what finds WebSockets; unless given there are none but of mounted applications.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        websockets: Callable[[], WebSocketDispatcher] | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self._make_websockets = websockets
        self._websockets: WebSocketDispatcher | None = None
        self.events = dispatcher.events
        self.in_flight: set[Cancellable] = set()
        self.watchers = Watchers()
        self._resolve = dispatcher.resolve
        self._classes: dict[Route, type[AsgiRequest]] = {}
        self._class_of = self._classes.get
        self._elsewhere: Callable[[], Iterable[Cancellable]] = tuple

    @property
    def websockets(self) -> WebSocketDispatcher:
        """Where WebSockets are found; made when the first is asked for."""
        found = self._websockets
        if found is None:
            from covet_http._websocket._dispatch import no_websockets

            make = self._make_websockets or no_websockets(self.dispatcher)
            found = self._websockets = make()
        return found

    async def run_websockets(self) -> None:
        """Look after WebSockets that are closed and whose handlers do not end, until cancelled."""
        if self._make_websockets is not None:
            await self.websockets.open.run()

    def drain_websockets(self, *, stopping: bool) -> None:
        """Close those that are open, since the phase ends."""
        if self._websockets is not None:
            self._websockets.open.drain(stopping=stopping)

    def track(self, in_flight: Callable[[], Iterable[Cancellable]]) -> None:
        """Let a server that drives calls itself say which of them are in flight."""
        self._elsewhere = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = self.begin(scope, receive, send)
        if isinstance(begun, tuple):
            start, body = begun
            await send(start)
            await send(body)
        else:
            await begun

    def begin(
        self, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Message, Message] | Coroutine[Any, Any, None]:
        """Answer a request, or begin to: most calls are over with their first step.

        Then nobody can cancel them or watch their client, and only the messages are left to be sent.

        Returns:
            The two messages of the answer, or what does the rest and sends them, to be awaited at once.
        """
        if scope["type"] != "http":
            return self._other(scope, receive, send)
        try:
            # Nearly every server says both, and then there is nothing to be called for them.
            target, root = scope["raw_path"], scope["root_path"]
        except KeyError:
            target, root = scope.get("raw_path"), scope.get("root_path", "")
        if target is None:
            target = quoted_path(scope)
        if root:
            root, target = unmounted(root, target)
        method = scope["method"]
        found: Any = self._resolve(method, target, scope["headers"], scope["query_string"], root)
        where, values, plain = found
        make = self._class_of(where)
        if make is None:
            if isinstance(where, Mounted):
                if target[:1] != b"/":
                    # In absolute form, of which an application is told no more than the path.
                    scope = {**scope, "path": unquote(plain), "raw_path": plain.encode("ascii")}
                return self._answer_mounted(where, scope, receive, send)
            if not isinstance(where, Route):
                return _messages(found, method)
            make = request_class(where, self.dispatcher.limits_of(where))
            self._classes[where] = make
        route = make.route
        request = make(scope, receive, send, plain, values)
        if route.streams:
            return self._attend(request, None, begun=False)
        try:
            pending = route.endpoint.begin(request)
        except Exception as error:
            reply = route.failed(request, route.endpoint.failure(request, error))
            return _nothing_said() if reply is None else _messages(reply, method)
        if pending is not None or request.streaming:
            return self._attend(request, pending)
        head = request.head
        if head is None or request._response is not None:
            return _messages(route.succeeded(request, request.body), method)
        # The same, without asking the route.
        body = request.body
        size = len(body)
        try:
            length = _LENGTHS[size]
        except KeyError:
            length = _length(size)
        return (
            {
                "type": "http.response.start",
                "status": request.status,
                "headers": [*head, length],
            },
            {"type": "http.response.body", "body": b"" if method == "HEAD" else body},
        )

    async def _attend(
        self, request: AsgiRequest, pending: Pending | None, *, begun: bool = True
    ) -> None:
        """Answer a request that waits, or streams: it can be cancelled, and its client may leave."""
        ours = request.extensions.get(DISCONNECT)
        if ours is not None:
            ours["subscribe"](request.disconnect)
        elif request.operation.on_disconnect != "finish":
            self.watchers.add(request, request.arrived)
        self._enter(request)
        route, endpoint = request.route, request.route.endpoint
        try:
            try:
                if not begun:
                    pending = _first_step(request)
                if pending is not None:
                    await endpoint.finish(pending, request)
            except Exception as error:
                reply = route.failed(request, endpoint.failure(request, error))
            else:
                reply = _success(request)
            if reply is not None:
                for message in _messages(reply, request.method):
                    await request.send_message(message)
            elif request.cause != "disconnect":
                await request.end(route.last_words(request))
        except StreamAbortedError:
            # A server of another kind knows that its client has left, and would log a failure.
            if request.cause != "disconnect" or ours is not None:
                raise
        finally:
            self._leave(request)
            if ours is None:
                await self.watchers.remove(request)

    def _enter(self, request: AsgiRequest) -> None:
        """It can be cancelled from now on."""
        self.in_flight.add(request)
        if isinstance(request, AsgiEvents):
            self.events.add(request)
            self.events.watch(request)

    def _leave(self, request: AsgiRequest) -> None:
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

    def _other(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] == "websocket":
            # Few services have any.
            from covet_http._websocket._asgi import answer_websocket

            return answer_websocket(self, scope, receive, send)
        # ASGI has an application raise on what it does not speak; returning would mean success.
        raise NotImplementedError(f"covet-http does not speak {scope['type']!r}")

    def shut_down(self) -> None:
        """Cancel what is in flight; each of them is answered 503."""
        for request in (*self.in_flight, *self._elsewhere()):
            request.cancel("shutdown")


def _first_step(request: AsgiRequest) -> Pending | None:
    if request.cause is not None:
        raise ended(request)
    return request.route.endpoint.begin(request)


def _success(request: AsgiRequest) -> Reply | None:
    """The answer of a call that has returned, ``None`` where it was streamed."""
    if request.route.streams or request.streaming:
        return None
    return request.route.succeeded(request, request.body)


def _length(size: int) -> tuple[bytes, bytes]:
    """The header that says how long a body is; those of short ones are kept."""
    line = b"content-length", b"%d" % size
    if size < _SHORT:
        _LENGTHS[size] = line
    return line


def _messages(reply: Reply, method: str) -> tuple[Message, Message]:
    status, headers, body = reply
    return (
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": b"" if method == "HEAD" else body},
    )


async def _nothing_said() -> None:
    """To a client that is gone."""
