"""One accepted connection: a protocol driven over an anyio stream, its timeouts and its end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.abc
import anyio.lowlevel

from covet_hypercorn._h1 import H1, Http2WantedError
from covet_hypercorn._reset import reset
from covet_hypercorn._sendfile import CAN_SEND_FILES, Span, send_file

if TYPE_CHECKING:
    from covet_hypercorn._h2 import H2
    from covet_hypercorn._listener import Listener

log = logging.getLogger("covet.hypercorn")

_NEVER = float("inf")
_READ = 65536
# A client that takes so much in time reads, however long it takes for all of an answer.
_WRITTEN = 65536
# A refused request's remaining bytes are read and dropped up to here, so that closing does not
# reset the connection under the answer.
_DISCARD_BYTES = 256 * 1024
_DISCARD_SECONDS = 1.0

_LEFT = (anyio.BrokenResourceError, anyio.ClosedResourceError)

Address: TypeAlias = "tuple[str, int] | None"


class Connection:
    """Drives one connection. Whatever goes wrong in it, `run` never raises.

    Args:
        listener: Who has accepted it.
        stream: Its bytes.
        client: The peer's address.
        server: The address it connected to.
        accepted: The socket beneath the stream, if there is one.

    Attributes:
        client: The peer's address.
        server: The address it connected to.
        read_by: When to give up waiting for the client's bytes, on `monotonic`'s clock.
        write_by: When to give up waiting for the client to read.
        idle: Between two requests.
        scheme: Of its requests.
        extensions: For the scopes of its requests: what TLS has to say.
    """

    def __init__(
        self,
        listener: Listener,
        stream: anyio.abc.ByteStream,
        client: Address,
        server: Address,
        accepted: socket.socket | None = None,
    ) -> None:
        self.listener = listener
        self.client = client
        self.server = server
        self.idle = True
        self.read_by = monotonic() + listener.patience
        self.write_by = _NEVER
        self._options = listener.options
        self.scheme = "http"
        self.extensions: Mapping[str, Any] = {}
        self._stream = self._transport = stream
        self._reading = anyio.CancelScope()
        self._writing = anyio.Lock(fast_acquire=True)
        self._broken = False
        self._accepted = accepted
        self._protocol: H1 | H2 = H1(self)
        self._tasks: anyio.abc.TaskGroup

    async def run(self) -> None:
        """Serve until the connection ends; a failure is logged and ends it only."""
        try:
            async with anyio.create_task_group() as self._tasks:
                with self._reading:
                    if await self._secure():
                        await self._read()
                await self._protocol.gone()
                await self._close()
        except BaseExceptionGroup as group:
            # The task group wraps whatever failed; only cancellation of the server goes on.
            ours, rest = group.split(Exception)
            if ours is not None:
                log.error("a connection failed and was closed", exc_info=ours)
            if rest is not None:
                raise rest from None
        finally:
            self._broken = True
            with anyio.CancelScope(shield=True):
                await self._transport.aclose()

    async def _secure(self) -> bool:
        """Shake hands, if TLS is spoken here; whether there is a connection then."""
        if self.listener.tls is None:
            return True
        from covet_hypercorn._tls import Secured

        try:
            stream = await self.listener.tls.wrap(self._transport)
        except (*_LEFT, anyio.EndOfStream, OSError) as error:
            # Among others everybody who knocks to see what is here.
            log.debug("no TLS with %s: %r", self.client, error)
            self._broken = True
            return False
        secured = Secured(stream)
        self._stream, self.scheme, self.extensions = stream, "https", secured.extensions
        self.set_idle(True)
        if secured.http2:
            await self._switch(b"")
        return True

    async def _read(self) -> None:
        while True:
            try:
                data = await self._stream.receive(_READ)
            except anyio.EndOfStream:
                data = b""
            except (*_LEFT, OSError):
                return
            try:
                await self._protocol.receive(data)
            except Http2WantedError as wanted:
                await self._switch(wanted.data)
            if not data:
                return
            if self._protocol.passing_over:
                continue
            if self._protocol.body_incomplete:
                self.read_by = monotonic() + self._options.read_timeout
            elif not self.idle:
                self.read_by = _NEVER

    async def _switch(self, data: bytes) -> None:
        from covet_hypercorn._h2 import H2

        protocol = H2(self)
        self._protocol = protocol
        await protocol.begin(data)

    # What the protocols call.

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        """Run a task that ends with the connection."""
        self._tasks.start_soon(function, *args)

    def finish(self) -> None:
        """Read no more and close once what was written has left."""
        self._reading.cancel()

    def abort(self) -> None:
        """Close so that the client notices: what it was sent ends with the connection, and is cut."""
        if not self._broken:
            self._broken = True
            if self._accepted is not None:
                reset(self._accepted)
        self._reading.cancel()

    def set_idle(self, idle: bool) -> None:
        """Say whether a request is under way."""
        self.idle = idle
        self.read_by = monotonic() + self.listener.patience if idle else _NEVER

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the client is slow. Bytes for a client that left are dropped."""
        if self._broken:
            # A handler that does nothing but send has to notice that it was cancelled.
            await anyio.lowlevel.checkpoint()
            return
        if not data:
            return
        async with self._writing:
            try:
                for at in range(0, len(data), _WRITTEN):
                    self._write_soon()
                    await self._stream.send(data[at : at + _WRITTEN])
            except (*_LEFT, anyio.EndOfStream, OSError):
                self._broken = True
                self._reading.cancel()
            finally:
                self.write_by = _NEVER

    @property
    def sends_files(self) -> bool:
        """Whether `send_file` can be called: there is a socket, and its bytes are not encrypted."""
        return CAN_SEND_FILES and self._accepted is not None and self._stream is self._transport

    async def send_file(self, span: Span) -> None:
        """Have the system send a span of a file, as `write` would.

        Raises:
            EOFError: The file ends before the span does.
        """
        if self._broken:
            await anyio.lowlevel.checkpoint()
            return
        assert self._accepted is not None
        async with self._writing:
            try:
                self._write_soon()
                await self._stream.send(b"")  # waits until all that was written has left
                await send_file(self._accepted, span, self._write_soon)
            except (*_LEFT, OSError):
                self._broken = True
                self._reading.cancel()
            finally:
                self.write_by = _NEVER

    def _write_soon(self) -> None:
        self.write_by = monotonic() + self._options.write_timeout

    async def _close(self) -> None:
        if self._stream is not self._transport and not self._broken:
            from covet_hypercorn._tls import say_farewell

            await say_farewell(self._stream)
        if self._protocol.unread and not self._broken:
            with anyio.move_on_after(_DISCARD_SECONDS):
                try:
                    await self._transport.send_eof()
                    left = _DISCARD_BYTES
                    while left > 0:
                        left -= len(await self._transport.receive(_READ))
                except (*_LEFT, anyio.EndOfStream, OSError):
                    pass
        self._broken = True
        await self._transport.aclose()

    # Timeouts and draining.

    def is_due(self, now: float) -> bool:
        """Whether one of the connection's times has passed."""
        return now >= self.read_by or now >= self.write_by or self._protocol.is_due(now)

    def expire(self, now: float) -> None:
        """End the connection if one of its times has passed."""
        if now >= self.read_by:
            self.read_by = _NEVER
            self._protocol.too_slow()
        self._protocol.expire(now)
        if now >= self.write_by:
            self.write_by = _NEVER
            if not self._protocol.not_read():
                self._tasks.cancel_scope.cancel()

    def drain(self, now: float) -> None:
        """Wait less for the next request, and let the protocol say so."""
        if self.idle:
            self.read_by = min(self.read_by, now + self.listener.patience)
        if not self._broken:
            self._tasks.start_soon(self._protocol.drain)
