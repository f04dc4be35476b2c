"""One HTTP/3 connection: QUIC driven over datagrams, its timers and its end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc
import anyio.lowlevel
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    HandshakeCompleted,
    ProtocolNegotiated,
)

from covet_hypercorn._budget import FloodError
from covet_hypercorn._h3 import H3
from covet_hypercorn._h3_frames import Code, Http3Error

if TYPE_CHECKING:
    from covet_hypercorn._endpoint import Endpoint
    from covet_hypercorn._listener import Listener
    from covet_hypercorn._quic import Quic
    from covet_hypercorn._udp import Address

log = logging.getLogger("covet.hypercorn")

_NEVER: Final = float("inf")
# A client that waits for an answer is asked so often, in its patience, whether it is still there.
_PINGS: Final = 3
# Once the service stops: how often it is asked, and after how much silence it is given up.
_LAST_PINGS: Final = 1.0
_LAST_PATIENCE: Final = 5.0
# The finest grain of its timers, in seconds.
_GRAIN: Final = 0.001
# So late a timer may be, or the thread was busy with something else.
_LATE: Final = 0.1
# Turns of the event loop between a datagram coming and its being dealt with.
_PASSES: Final = 4
_TLS: Final[Mapping[str, Any]] = {
    "tls": {
        "server_cert": None,
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": None,
    }
}


class Http3Connection:
    """Drives one connection. Whatever goes wrong in it, `run` never raises.

    What comes is dealt with at once (`receive`), by the task that reads the socket. What goes, and
    what is due, is the connection's own task's (`run`).

    Attributes:
        extensions: For the scopes of its requests: what TLS has to say.
        ids: By which its datagrams are known; the endpoint's.
        quic: Its state.
        read_by: When to give up waiting for a request, on `monotonic`'s clock.
        scheme: Of its requests.
    """

    scheme = "https"
    extensions = _TLS

    def __init__(
        self, endpoint: Endpoint, listener: Listener, quic: Quic, address: Address
    ) -> None:
        self.listener = listener
        self.quic = quic
        self.read_by = monotonic() + listener.patience
        self._endpoint = endpoint
        self._address = address
        self._protocol = H3(self)
        self._wake = anyio.Event()
        self._tasks: anyio.abc.TaskGroup
        self._closed = False
        self._leaving = False
        self._ping_at = _NEVER
        self._heard = monotonic()
        self._farewell: list[tuple[bytes, Any]] = []
        self.ids: set[bytes] = set()

    @property
    def client(self) -> tuple[str, int]:
        """The peer's address at the moment."""
        address: Address = self.quic.get_peer_address() or self._address
        return address.host, address.port

    @property
    def server(self) -> tuple[str, int]:
        """The address that the peer sends to."""
        address: Address = self.quic.get_peer_address() or self._address
        return address.ours

    # From the endpoint.

    def receive(self, data: bytes, address: Address) -> None:
        """Take a datagram."""
        self._heard = now = monotonic()
        try:
            self.quic.receive_datagram(data, address, now)
            self._take_events()
            self._protocol.moved()
        except Exception:
            # In the task that reads for all connections: it is this one that ends.
            log.exception("an HTTP/3 connection failed and was closed")
            self.close(Code.INTERNAL_ERROR)
        if self.quic.flood and not self._closed:
            self._closed = True
            self._tell_of(self.quic.flood)
        self.wake()

    async def run(self) -> None:
        """Serve until the connection ends; a failure is logged and ends it only."""
        try:
            async with anyio.create_task_group() as self._tasks:
                await self._drive()
                self._protocol.gone()
                self._endpoint.bury(self, self._farewell)
        except BaseExceptionGroup as group:
            # The task group wraps whatever failed; only cancellation of the server goes on.
            ours, rest = group.split(Exception)
            if ours is not None:
                log.error("a connection failed and was closed", exc_info=ours)
            if rest is not None:
                raise rest from None
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """Say that this is the end, if it has not been said, and wait for nothing."""
        try:
            if not self.quic.is_over:
                self.quic.close(Code.INTERNAL_ERROR)
                for data, address in self._outgoing():
                    address.socket.send_now(data, address)
        except Exception:
            log.exception("an HTTP/3 connection could not be closed")
        self._endpoint.bury(self, self._farewell)

    async def _drive(self) -> None:
        quic = self.quic
        while True:
            for data, address in self._outgoing():
                await address.socket.send(data, address)
            if quic.is_over:
                return
            if self._leaving:
                # Only now, because what is still to be sent would be lost.
                quic.close(Code.NO_ERROR)
                continue
            due = quic.get_timer()
            if not self._wake.is_set():
                wait = _NEVER if due is None else max(_GRAIN, due - monotonic())
                with anyio.move_on_after(wait):
                    await self._wake.wait()
            self._wake = anyio.Event()
            if due is not None and monotonic() - due > _LATE:
                # This thread was busy: what has come in time may not have been read yet.
                for _ in range(_PASSES):
                    await anyio.lowlevel.checkpoint()
                due = quic.get_timer()
            now = monotonic()
            if due is not None and now >= due:
                quic.handle_timer(now)
                self._take_events()

    def _outgoing(self) -> list[tuple[bytes, Any]]:
        if self.quic.get_peer_address() is None:
            return []
        datagrams: list[tuple[bytes, Any]] = self.quic.datagrams_to_send(monotonic())
        self._take_events()
        if self.quic.is_over:
            # aioquic says farewell to everybody, however much they have been sent.
            datagrams = datagrams if self.quic.may_answer else []
            self._farewell = datagrams or self._farewell
        return datagrams

    def _take_events(self) -> None:
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, ConnectionIdIssued):
                self._endpoint.route(event.connection_id, self)
            elif isinstance(event, ConnectionIdRetired):
                self._endpoint.unroute(event.connection_id)
            elif isinstance(event, HandshakeCompleted):
                self._endpoint.opened(self)
                self.set_idle(True)
            elif isinstance(event, ProtocolNegotiated):
                self._protocol.greet()
            else:
                self._take(event)

    def _take(self, event: Any) -> None:
        if self._closed:
            return
        try:
            self._protocol.take(event)
        except Http3Error as error:
            log.debug("an HTTP/3 connection with %s was ended: %s", self.client, error)
            self.close(error.code)
        except FloodError as flood:
            self._tell_of(flood)
            self.close(Code.EXCESSIVE_LOAD)

    def _tell_of(self, flood: object) -> None:
        self.listener.floods.note(self.client, str(flood))

    # What the protocol calls.

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        """Run a task that ends with the connection."""
        self._tasks.start_soon(function, *args)

    def close(self, code: int) -> None:
        """End the connection; what has not been delivered is lost."""
        self._closed = True
        self.quic.close(code)
        self.wake()

    def leave(self) -> None:
        """End the connection, on which nothing is under way."""
        self._leaving = True
        self.wake()

    def set_idle(self, idle: bool) -> None:
        """Say whether a request is under way."""
        now = monotonic()
        self.read_by = now + self.listener.patience if idle else _NEVER
        self._ping_at = _NEVER if idle else now + self._ping_interval

    # Timeouts and draining.

    def is_due(self, now: float) -> bool:
        """Whether one of the connection's times has passed."""
        return (
            now >= self.read_by
            or now >= self._ping_at
            or self._is_silent(now)
            or self._protocol.is_due(now)
        )

    def _is_silent(self, now: float) -> bool:
        """Whether the service stops and nobody is there to be answered."""
        return self.listener.draining and now - self._heard >= _LAST_PATIENCE

    def expire(self, now: float) -> None:
        """Do what is to be done at one of the connection's times that has passed."""
        if self._is_silent(now):
            self.close(Code.NO_ERROR)
            return
        if now >= self._ping_at:
            self._ping(now)
        self._protocol.expire(now)
        if now >= self.read_by:
            self.read_by = _NEVER
            self._protocol.leave()
        self.wake()

    def _ping(self, now: float) -> None:
        """Have the client say that it is there; it need not say it again for a while."""
        self._ping_at = now + (_LAST_PINGS if self.listener.draining else self._ping_interval)
        self.quic.send_ping(0)

    @property
    def _ping_interval(self) -> float:
        return self.quic.silence / _PINGS

    def drain(self, now: float) -> None:
        """Wait less for the next request, and say so."""
        self.read_by = min(self.read_by, now + self.listener.patience)
        self._ping(now)
        self._protocol.drain(now)
        self.wake()
