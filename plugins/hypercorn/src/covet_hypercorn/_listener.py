"""Accepting connections, and ending them all politely."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.abc
import anyio.lowlevel

from covet_http import Application, Calls, Message, Receive, Scope, Send, ServerOptions
from covet_hypercorn._connection import Address, Connection
from covet_hypercorn._floods import Floods
from covet_hypercorn._h1 import Clock
from covet_hypercorn._memory import pair
from covet_hypercorn._reset import resettable

if TYPE_CHECKING:
    from covet_hypercorn._endpoint import Endpoint
    from covet_hypercorn._h3_connection import Http3Connection
    from covet_hypercorn._tls import Tls

log = logging.getLogger("covet.hypercorn")

# So many connections are accepted before others get a turn.
_BATCH = 64
# Out of descriptors: accepting again at once would only spin.
_PAUSE = 0.1
# The finest grain of timeouts, in seconds.
_SHORTEST = 0.01
# Turns of the event loop between bytes arriving and the task that waits for them running.
_PASSES = 4
# A listener that is left without `stop` gives the requests it holds this long to hear so.
_FAREWELL = 1.0
# Seconds for which clients may remember that HTTP/3 is spoken here.
_ADVERTISED = 86_400


class _Held(Protocol):
    """A connection, by whatever it has come."""

    async def run(self) -> None: ...
    def is_due(self, now: float) -> bool: ...
    def expire(self, now: float) -> None: ...
    def drain(self, now: float) -> None: ...


class Listener:
    """Listening sockets, their connections, and one clock for all timeouts."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        options: ServerOptions,
        *,
        http2: bool,
        max_streams: int,
        access_log: bool,
        tls: Tls | None = None,
    ) -> None:
        self.options = options
        self.http2 = http2
        self.max_streams = max_streams
        self.access_log = access_log
        self.tls = tls
        self.clock = Clock()
        self.calls = Calls()
        self.floods = Floods()
        self.draining = False
        self._sockets = list(sockets)
        self.endpoint: Endpoint | None = None
        self._advertisement: tuple[bytes, bytes] | None = None
        self._connections: set[_Held] = set()
        self._opening = 0
        self._emptied = anyio.Event()
        self._room = anyio.Event()
        self._accepting = anyio.CancelScope()
        self._accepted = anyio.Event()
        self._begun = False
        self._tasks: anyio.abc.TaskGroup

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Listener]:
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._reap)
                try:
                    yield self
                finally:
                    with anyio.move_on_after(_FAREWELL, shield=True):
                        if not self.calls.is_open:
                            self.calls.open(unavailable)
                            await self.stop()
                    self._tasks.cancel_scope.cancel()
        finally:
            self.floods.tell(at_last=True)
            self._close_sockets()

    def begin(self, application: Application) -> None:
        if self._begun and self.tls is not None:
            # A reload: certificates are renewed without a change of the configuration.
            self.tls.reload()
            if self.endpoint is not None:
                self.endpoint.reload()
        self.calls.open(application)
        if not self._begun:
            self._begun = True
            self._tasks.start_soon(self._accept_all)
            if self.endpoint is not None:
                self._tasks.start_soon(self.endpoint.run)

    async def pause(self) -> None:
        await self.calls.close()

    async def stop(self) -> None:
        if self._begun:
            self._accepting.cancel()
            await self._accepted.wait()
            # Whoever is in the backlog was told by the system that it is connected.
            for listening in self._sockets:
                while self._accept(listening):
                    pass
        for listening in self._sockets:
            listening.close()
        self._sockets = []
        if self.endpoint is not None:
            self.endpoint.refuse()
        self.draining = True
        now = monotonic()
        for connection in self._connections:
            connection.drain(now)
        while self._count:
            self._emptied = anyio.Event()
            with anyio.move_on_after(max(_SHORTEST, self.options.linger / 4)):
                await self._emptied.wait()
            await self._expire()
        if self.endpoint is not None:
            await self.endpoint.stop(self.options.linger)

    def speak_http3(self, endpoint: Endpoint, port: int) -> None:
        """Take HTTP/3 by these sockets too, and say so in answers to clients that do not speak it.

        Args:
            endpoint: Of this listener.
            port: The one clients are told.
        """
        self.endpoint = endpoint
        self._advertisement = (b"alt-svc", b'h3=":%d"; ma=%d' % (port, _ADVERTISED))

    def adopt(self, connection: Http3Connection) -> None:
        """Hold a connection that has not come by a listening socket."""
        self._connections.add(connection)
        self._tasks.start_soon(self._hold, connection)

    @property
    def has_room(self) -> bool:
        """Whether another connection may be taken."""
        return self._count < self.options.max_connections

    def connect(self) -> anyio.abc.ByteStream:
        """The client's side of a connection without a socket."""
        if self.draining or not self.has_room:
            raise ConnectionRefusedError("there are too many connections, or no more are taken")
        client, server = pair()
        self._opening += 1
        self._tasks.start_soon(self._run, server, None, None)
        return client

    def complete(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """An answer's headers with those that the server adds."""
        fields = [*headers, self.clock.line]
        ours = None if self.draining else self._advertisement
        if ours is not None and all(name.lower() != ours[0] for name, _ in fields):
            fields.append(ours)
        return fields

    @property
    def patience(self) -> float:
        """Seconds a connection may take for its next request head."""
        return self.options.linger if self.draining else self.options.keep_alive_timeout

    @property
    def _count(self) -> int:
        return len(self._connections) + self._opening

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets = []
        if self.endpoint is not None:
            self.endpoint.close()

    async def _accept_all(self) -> None:
        try:
            with self._accepting:
                async with anyio.create_task_group() as tasks:
                    for listening in self._sockets:
                        tasks.start_soon(self._accept_loop, listening)
        finally:
            self._accepted.set()

    async def _accept_loop(self, listening: socket.socket) -> None:
        while True:
            await anyio.wait_readable(listening)
            for _ in range(_BATCH):
                if not self.has_room:
                    self._room = anyio.Event()
                    await self._room.wait()
                try:
                    if not self._accept(listening):
                        break
                except OSError as error:
                    if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        raise
                    log.warning("cannot accept a connection: %s", error.strerror)
                    await anyio.sleep(_PAUSE)
                    break

    def _accept(self, listening: socket.socket) -> bool:
        """Take one connection from the backlog; whether there may be another."""
        try:
            accepted, client = listening.accept()
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        self._opening += 1
        self._tasks.start_soon(self._serve, resettable(accepted), client)
        return True

    async def _serve(self, accepted: socket.socket, client: Any) -> None:
        stream, server = None, None
        try:
            accepted.setblocking(False)
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = accepted.getsockname()
            stream = await anyio.abc.SocketStream.from_socket(accepted)
        except (OSError, ValueError):
            # Gone between the backlog and here.
            accepted.close()
        finally:
            if stream is None:
                self._opening -= 1
                self._left()
        if stream is not None:
            await self._run(stream, _address(client), _address(server), accepted)

    async def _run(
        self,
        stream: anyio.abc.ByteStream,
        client: Address,
        server: Address,
        accepted: socket.socket | None = None,
    ) -> None:
        connection = Connection(self, stream, client, server, accepted)
        self._connections.add(connection)
        self._opening -= 1
        await self._hold(connection)

    async def _hold(self, connection: _Held) -> None:
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._left()

    def _left(self) -> None:
        self._room.set()
        if not self._count:
            self._emptied.set()

    async def _reap(self) -> None:
        options = self.options
        shortest = min(options.keep_alive_timeout, options.read_timeout, options.write_timeout)
        interval = max(_SHORTEST, min(1.0, shortest / 4))
        while True:
            await anyio.sleep(interval)
            await self._expire()

    async def _expire(self) -> None:
        self.floods.tell()
        now = monotonic()
        due = [connection for connection in self._connections if connection.is_due(now)]
        if not due:
            return
        # If this thread was busy, what a client sent in time may not have been read yet.
        for _ in range(_PASSES):
            await anyio.lowlevel.checkpoint()
        for connection in due:
            connection.expire(now)


def _address(raw: Any) -> Address:
    return (raw[0], raw[1]) if isinstance(raw, tuple) else None


async def unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    """What requests hear that arrived for an application that is going away."""
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    headers = [(b"content-length", b"0"), (b"retry-after", b"1")]
    start: Message = {"type": f"{kind}.response.start", "status": 503, "headers": headers}
    await send(start)
    await send({"type": f"{kind}.response.body", "body": b""})
