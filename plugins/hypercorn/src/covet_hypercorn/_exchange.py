"""One request and its answer: the messages between a protocol and the application."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio

from covet_http import DISCONNECT, Message, Scope, StreamAbortedError
from covet_hypercorn._access import log_access
from covet_hypercorn._sendfile import ZEROCOPYSEND, Span

if TYPE_CHECKING:
    from covet_http import Calls

log = logging.getLogger("covet.hypercorn")

# The client left, or does not read: no answer has this status, access logs have.
CLIENT_CLOSED_REQUEST = 499
# Body chunks that may wait for a slow application before the connection is no longer read.
_QUEUE = 8


def not_ours(error: BaseException) -> BaseException | None:
    """What of an error ends more than one request: a cancellation, or the process."""
    beyond = (anyio.get_cancelled_exc_class(), KeyboardInterrupt, SystemExit)
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(beyond)
    return error if isinstance(error, beyond) else None


class Exchange:
    """What ASGI calls ``receive`` and ``send``, and the task that runs the application.

    Putting never blocks once the application has returned, so that one that answers without reading
    the body does not stop the connection's reader.
    """

    __slots__ = (
        "_answered", "_arrived", "_began", "_calls", "_complete", "_ended", "_gone", "_logs", "_messages",
        "_on_disconnect", "_returned", "_room", "_scope", "_send", "_size", "_status", "_taken",
        "_wanted",
    )  # fmt: skip

    def __init__(
        self,
        calls: Calls,
        scope: Scope,
        send: Callable[[Any], Awaitable[None]],
        *,
        logs: bool = False,
        taken: Callable[[int], Awaitable[None]] | None = None,
        wanted: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._calls = calls
        self._scope = scope
        self._send = send
        self._taken = taken
        self._wanted = wanted
        self._messages: deque[Message] = deque()
        self._arrived: anyio.Event | None = None
        self._room: anyio.Event | None = None
        self._on_disconnect: Callable[[], None] | None = None
        self._gone = False
        self._answered = False
        self._complete = False
        self._returned = False
        self._logs = logs
        self._ended = 0
        self._began = monotonic()
        self._status = 0
        self._size = 0

    async def put(self, message: Any) -> None:
        """Take a piece of the body; waits while the application lags behind."""
        while len(self._messages) >= _QUEUE and not self._returned and not self._gone:
            self._room = anyio.Event()
            await self._room.wait()
        self.offer(message)

    def disconnect(self, status: int = CLIENT_CLOSED_REQUEST) -> None:
        """The client is gone, or has an answer already; the application may hear of it.

        Args:
            status: What the client was told in place of the application's answer, for the access log.
        """
        self._gone = True
        if not (self._answered or self._returned):
            self._ended = status
        if self._on_disconnect is not None and not self._answered:
            self._on_disconnect()
        for waiting in (self._arrived, self._room):
            if waiting is not None:
                waiting.set()

    def not_read(self) -> None:
        """The client does not read its answer, however much of that is said already."""
        self._ended = CLIENT_CLOSED_REQUEST

    def offer(self, message: Any, *, join: int = 0) -> None:
        """Take a piece of the body without waiting, from a connection that counts what is taken.

        Args:
            message: The piece.
            join: Pieces are joined with the one before it that waits still, up to so many bytes.
        """
        messages = self._messages
        if messages and 0 < len(messages[-1]["body"]) < join:
            message = {**message, "body": messages.pop()["body"] + message["body"]}
        messages.append(message)
        if self._arrived is not None:
            self._arrived.set()

    async def receive(self) -> Message:
        while not self._messages:
            if self._gone or self._complete:
                return {"type": "http.disconnect"}
            if self._wanted is not None:
                # Once, where the application waits for a body that nobody has begun to send.
                wanted, self._wanted = self._wanted, None
                await wanted()
                continue
            self._arrived = anyio.Event()
            await self._arrived.wait()
        message = self._messages.popleft()
        if self._room is not None:
            self._room.set()
        if self._taken is not None:
            await self._taken(len(message["body"]))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
            self._answered = not message.get("more_body", False)
        elif message["type"] == ZEROCOPYSEND:
            message = {**message, "file": (span := Span(message))}
            self._size += span.size
            self._answered = not message.get("more_body", False)
        await self._send(message)
        if self._answered:
            self._log(self._status)
            self._complete = True
            if self._arrived is not None:
                self._arrived.set()

    def subscribe(self, on_disconnect: Callable[[], None]) -> None:
        """Have ``on_disconnect`` called if the client goes away before it has its answer."""
        self._on_disconnect = on_disconnect
        if self._gone:
            on_disconnect()

    async def run(self) -> None:
        application = await self._calls.enter()
        try:
            try:
                if not self._gone:
                    self._scope["extensions"][DISCONNECT] = {"subscribe": self.subscribe}
                    await application(self._scope, self.receive, self.send)
                    if not self._answered:
                        self._status = 500
            except StreamAbortedError as aborted:
                # It is logged where it happened; incomplete is how the answer is to end.
                self._status = aborted.status
            except BaseException as error:
                self._status = 500
                going_on = not_ours(error)
                if going_on is error:
                    raise
                log.exception("the application failed outside its own error handling")
                if going_on is not None:
                    raise going_on from None
            finally:
                self._returned = True
                if self._room is not None:
                    self._room.set()
                # Completes what is incomplete: a 500 before the first byte, an abort after it.
                await self._send(None)
        finally:
            self._log(self._status or 500)
            self._calls.leave()

    def _log(self, status: int) -> None:
        """Write one line of the access log."""
        if self._logs:
            self._logs = False
            log_access(self._scope, self._ended or status, monotonic() - self._began, self._size)
