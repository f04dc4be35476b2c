"""A UDP socket whose answers leave from the address that was asked."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import anyio

from covet_kernel import ConfigurationError

# One datagram, whatever the network carries.
_LARGEST: Final = 65_535
# What may wait in the system while this thread is busy with something else.
_BUFFER: Final = 1 << 20
# Linux's numbers; the module `socket` knows those of IPv6 only.
_IP_PKTINFO: Final = 8
_INTERFACE: Final = struct.Struct("=I")
# Interface, our address, the datagram's destination; and the address that has come, interface.
_PKTINFO_4: Final = struct.Struct("=I4s4s")
_PKTINFO_6: Final = struct.Struct("=16sI")
_LINK_LOCAL: Final = b"\xfe\x80"


class Address(NamedTuple):
    """Where datagrams come from and go to: a path, as QUIC has it.

    Attributes:
        host: The client's address.
        port: The client's port.
        raw: Both, as the system has them.
        local: Our address, packed (with the number of the interface where it is ambiguous without);
            empty if the socket has one address only.
        socket: By which they come and go.
    """

    host: str
    port: int
    raw: Any
    local: bytes
    socket: UdpSocket

    @property
    def ours(self) -> tuple[str, int]:
        """The address and the port that the client has sent to."""
        host, port = self.socket.bound[:2]
        if self.local:
            host = socket.inet_ntop(self.socket.family, self.local[: -_INTERFACE.size])
        return host, port


class UdpSocket:
    """A bound socket that never blocks.

    Attributes:
        bound: Its address, as the system has it.
        family: ``AF_INET`` or ``AF_INET6``.
    """

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._sending = anyio.Lock(fast_acquire=True)
        self.bound: Any = bound.getsockname()
        self.family = bound.family
        self._tells = _ask_for_destinations(bound)

    def receive(self) -> tuple[bytes, Address] | None:
        """A datagram that has come, ``None`` if there is none."""
        while True:
            try:
                if self._tells:
                    data, notes, _, raw = self._socket.recvmsg(_LARGEST, 64)
                    return data, Address(raw[0], raw[1], raw, _destination(notes), self)
                data, raw = self._socket.recvfrom(_LARGEST)
                return data, Address(raw[0], raw[1], raw, b"", self)
            except BlockingIOError:
                return None
            except ConnectionError:
                # Somebody to whom we have sent before is not there; QUIC finds out by itself.
                continue

    async def readable(self) -> None:
        """Wait until there is something to receive."""
        await anyio.wait_readable(self._socket)

    def send_now(self, data: bytes, address: Address) -> bool:
        """Send a datagram; whether the system has taken it, or never will."""
        try:
            if address.local:
                self._socket.sendmsg([data], [_source(self.family, address.local)], 0, address.raw)
            else:
                self._socket.sendto(data, address.raw)
        except BlockingIOError:
            return False
        except OSError:
            # No way there at the moment. To QUIC that is a datagram that was lost.
            return True
        return True

    async def send(self, data: bytes, address: Address) -> None:
        """Send a datagram, once the system has room for it."""
        while not self.send_now(data, address):
            async with self._sending:
                await anyio.wait_writable(self._socket)

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()


def bind_beside(listening: Sequence[socket.socket]) -> list[UdpSocket]:
    """UDP sockets with the addresses and ports of TCP sockets.

    Raises:
        ConfigurationError: Another process has the port.
    """
    sockets: list[UdpSocket] = []
    try:
        for each in listening:
            sockets.append(UdpSocket(_bind(each.family, each.getsockname())))  # noqa: PERF401 - each is closed if the next fails
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _bind(family: int, address: Any) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with suppress(OSError):
                bound.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise ConfigurationError(
            "COVET-HYPERCORN-UDP",
            f"UDP port {address[1]} on {address[0]} is in use by another process.",
            place="plugins.http.port",
            fix="Stop it, choose another port, or leave http3 out.",
        ) from None
    return bound


def _ask_for_destinations(bound: socket.socket) -> bool:
    """Have the system say to which of its addresses a datagram came, if the socket has several."""
    if sys.platform != "linux" or bound.getsockname()[0] not in ("0.0.0.0", "::"):  # noqa: S104
        return False
    if bound.family == socket.AF_INET:
        bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    return True


def _destination(notes: Sequence[tuple[int, int, bytes]]) -> bytes:
    for level, kind, note in notes:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, ours, _ = _PKTINFO_4.unpack_from(note)
            return bytes(ours) + _INTERFACE.pack(0)
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            ours, interface = _PKTINFO_6.unpack_from(note)
            named = ours.startswith(_LINK_LOCAL)
            return bytes(ours) + _INTERFACE.pack(interface if named else 0)
    return b""


def _source(family: int, local: bytes) -> tuple[int, int, bytes]:
    if family == socket.AF_INET:
        ours = local[: -_INTERFACE.size]
        return socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO_4.pack(0, ours, bytes(4))
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local
