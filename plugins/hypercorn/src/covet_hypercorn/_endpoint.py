"""The UDP sockets of a listener: whose datagram this is, who may begin, and who has just left."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio
import anyio.abc
import anyio.lowlevel
from aioquic._buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE
from aioquic.quic.connection import TRANSPORT_CLOSE_FRAME_CAPACITY
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicHeader,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.retry import QuicRetryTokenHandler

from covet_hypercorn._h3_connection import Http3Connection
from covet_hypercorn._quic import Quic
from covet_hypercorn._quic_credentials import Credentials
from covet_hypercorn._udp import Address, UdpSocket

if TYPE_CHECKING:
    from covet_hypercorn._listener import Listener

log = logging.getLogger("covet.hypercorn")

_ID: Final = 8
_LONGEST_ID: Final = 20
# So many datagrams are taken before others get a turn.
_BATCH: Final = 32
# The system cannot receive: trying again at once would only spin.
_PAUSE: Final = 0.1
# Handshakes under way, beyond which clients have to show that they are where they say.
_UNPROVEN: Final = 32


class _Ids(NamedTuple):
    """What all versions of QUIC have in common (RFC 8999): version and connection IDs.

    Attributes:
        version: ``None`` in a packet of an open connection.
    """

    version: int | None
    destination: bytes
    source: bytes


class _Grave:
    """A connection that has ended: what is still said to who has not heard it.

    Attributes:
        ids: By which its datagrams are known.
        until: When it is forgotten.
    """

    __slots__ = ("_asked", "_farewell", "ids", "until")

    def __init__(
        self, ids: set[bytes], farewell: Sequence[tuple[bytes, Any]], until: float
    ) -> None:
        self.ids = ids
        self.until = until
        self._farewell = farewell
        self._asked = 0

    def knock(self) -> None:
        """Somebody does not know yet. It is said again, more and more seldom."""
        self._asked += 1
        if not self._asked & (self._asked - 1):
            for data, address in self._farewell:
                address.socket.send_now(data, address)


class Endpoint:
    """Receives for all connections of a listener.

    Args:
        sockets: Bound ones; they are closed here.
        listener: Whose connections they are.
        credentials: What clients are shown.
    """

    def __init__(
        self, sockets: Sequence[UdpSocket], listener: Listener, credentials: Credentials
    ) -> None:
        self._sockets = list(sockets)
        self._listener = listener
        self._credentials = credentials
        self._retry = QuicRetryTokenHandler()
        self._routes: dict[bytes, Http3Connection | _Grave] = {}
        self._graves: deque[_Grave] = deque()
        self._unproven: set[Http3Connection] = set()
        self._refusing = False
        self._receiving = anyio.CancelScope()
        self._received = anyio.Event()
        self._begun = False

    def reload(self) -> None:
        """Use certificates that have been renewed for new connections."""
        self._credentials.reload()

    async def run(self) -> None:
        """Receive until it is stopped."""
        self._begun = True
        try:
            with self._receiving:
                async with anyio.create_task_group() as tasks:
                    for each in self._sockets:
                        tasks.start_soon(self._receive, each)
        finally:
            self._received.set()

    def refuse(self) -> None:
        """Take no new connections."""
        self._refusing = True

    async def stop(self, linger: float) -> None:
        """Let go of the ports, once no connection is left.

        Args:
            linger: How long who has not heard that they have ended may ask, at most.
        """
        now = monotonic()
        last = max((each.until for each in self._graves), default=now)
        await anyio.sleep(max(0.0, min(linger, last - now)))
        self._receiving.cancel()
        if self._begun:
            await self._received.wait()
        self.close()

    def close(self) -> None:
        """Let go of the ports; nobody receives any more."""
        for each in self._sockets:
            each.close()
        self._sockets = []

    # What connections call.

    def route(self, connection_id: bytes, connection: Http3Connection) -> None:
        """A connection is known by another ID."""
        connection.ids.add(connection_id)
        self._routes[connection_id] = connection

    def unroute(self, connection_id: bytes) -> None:
        """An ID is no longer in use."""
        connection = self._routes.pop(connection_id, None)
        if connection is not None:
            connection.ids.discard(connection_id)

    def opened(self, connection: Http3Connection) -> None:
        """A client has shaken hands, and so is where it says."""
        self._unproven.discard(connection)

    def bury(self, connection: Http3Connection, farewell: Sequence[tuple[bytes, Any]]) -> None:
        """A connection has ended, with these datagrams if it has ended here."""
        self._unproven.discard(connection)
        now = monotonic()
        until = connection.quic.get_timer()
        ids, connection.ids = connection.ids, set()
        if farewell and until is not None and ids:
            grave = _Grave(ids, farewell, until)
            self._graves.append(grave)
            self._routes.update(dict.fromkeys(ids, grave))
        else:
            for each in ids:
                self._routes.pop(each, None)
        while self._graves and self._graves[0].until <= now:
            for each in self._graves.popleft().ids:
                self._routes.pop(each, None)

    # What comes.

    async def _receive(self, bound: UdpSocket) -> None:
        while True:
            await bound.readable()
            try:
                for _ in range(_BATCH):
                    received = bound.receive()
                    if received is None:
                        break
                    self._take(*received)
            except OSError as error:
                # Out of memory, or the interface is down: of the system, and not of one client.
                log.warning("cannot receive datagrams: %s", error.strerror)
                await anyio.sleep(_PAUSE)
            await anyio.lowlevel.checkpoint()

    def _take(self, data: bytes, address: Address) -> None:
        ids = _read_ids(data)
        if ids is None:
            return
        known = self._routes.get(ids.destination)
        if known is None:
            if ids.version is not None and len(data) >= SMALLEST_MAX_DATAGRAM_SIZE:
                self._newcomer(ids, ids.version, data, address)
        elif isinstance(known, _Grave):
            known.knock()
        else:
            known.receive(data, address)

    def _newcomer(self, ids: _Ids, version: int, data: bytes, address: Address) -> None:
        """Somebody wants to begin. The datagram is as long as any answer that it gets here."""
        versions = self._credentials.configuration.supported_versions
        if version not in versions:
            if version:  # another server's word about versions is answered by nobody
                answer = encode_quic_version_negotiation(ids.destination, ids.source, versions)
                address.socket.send_now(answer, address)
            return
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=_ID)
        except ValueError:
            return
        if header.packet_type != QuicPacketType.INITIAL or len(ids.destination) < _ID:
            return
        if self._refusing:
            self._turn_away(header, QuicErrorCode.CONNECTION_REFUSED, address)
        elif self._listener.has_room:
            self._prove(header, data, address)
        # Otherwise the client asks again, as one does that waits in the backlog of a TCP socket.

    def _prove(self, header: QuicHeader, data: bytes, address: Address) -> None:
        original, retried = header.destination_cid, None
        now = monotonic()
        if header.token:
            try:
                original = self._retry.validate_token(
                    address=address, destination_cid=original, token=header.token, now=now
                )
            except ValueError:
                self._turn_away(header, QuicErrorCode.INVALID_TOKEN, address)
                return
            retried = header.destination_cid
        elif len(self._unproven) >= _UNPROVEN:
            source = os.urandom(_ID)
            token = self._retry.create_token(
                address=address,
                original_destination_connection_id=original,
                retry_source_connection_id=source,
                now=now,
            )
            answer = encode_quic_retry(
                version=header.version or 0,
                source_cid=source,
                destination_cid=header.source_cid,
                original_destination_cid=original,
                retry_token=token,
            )
            address.socket.send_now(answer, address)
            return
        self._begin(header, original, retried, data, address)

    def _begin(
        self,
        header: QuicHeader,
        original: bytes,
        retried: bytes | None,
        data: bytes,
        address: Address,
    ) -> None:
        configuration = self._credentials.configuration
        quic = Quic(configuration, self._listener.max_streams, original, retried)
        connection = Http3Connection(self, self._listener, quic, address)
        connection.receive(data, address)
        if not quic.has_begun:
            return  # noise
        self._unproven.add(connection)
        self.route(header.destination_cid, connection)
        self.route(quic.host_cid, connection)
        self._listener.adopt(connection)

    def _turn_away(self, header: QuicHeader, code: QuicErrorCode, address: Address) -> None:
        version, destination = header.version or 0, header.destination_cid
        crypto = CryptoPair()
        crypto.setup_initial(cid=destination, is_client=False, version=version)
        builder = QuicPacketBuilder(
            host_cid=destination,
            is_client=False,
            max_datagram_size=SMALLEST_MAX_DATAGRAM_SIZE,
            peer_cid=header.source_cid,
            version=version,
        )
        builder.start_packet(QuicPacketType.INITIAL, crypto)
        frame = builder.start_frame(
            QuicFrameType.TRANSPORT_CLOSE, capacity=TRANSPORT_CLOSE_FRAME_CAPACITY
        )
        for value in (code, QuicFrameType.PADDING, 0):
            frame.push_uint_var(value)
        for answer in builder.flush()[0]:
            address.socket.send_now(answer, address)


def _read_ids(data: bytes) -> _Ids | None:
    """The connection IDs of a datagram, ``None`` if it is not one of QUIC's."""
    if len(data) <= _ID:
        return None
    if not data[0] & 0x80:
        return _Ids(None, data[1 : 1 + _ID], b"")
    version = int.from_bytes(data[1:5], "big")
    at = 6 + data[5]
    destination = data[6:at]
    if at >= len(data):
        return None
    source = data[at + 1 : at + 1 + data[at]]
    if len(source) != data[at] or max(len(destination), len(source)) > _LONGEST_ID:
        return None
    return _Ids(version, destination, source)
