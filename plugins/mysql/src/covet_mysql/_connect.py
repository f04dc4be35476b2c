"""Opening a connection without blocking the event loop, one address after the other."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from dataclasses import dataclass

import anyio

from covet_mysql._channel import Channel
from covet_mysql._errors import refusal
from covet_mysql._protocol import _constants as c
from covet_mysql._protocol._answers import failure
from covet_mysql._protocol._authentication import Authentication, RefusedError
from covet_mysql._protocol._exchanges import Command
from covet_mysql._protocol._handshake import LARGEST, Greeting, greeting, login, tls_request
from covet_mysql._protocol._packets import Packets, ProtocolError, framed
from covet_mysql._url import Address
from covet_sql.driver import ConnectError


@dataclass(frozen=True)
class Opened:
    """A connection whose user was let in.

    Attributes:
        channel: To send and receive by.
        greeting: What the server said first.
        capabilities: What both can do.
    """

    channel: Channel
    greeting: Greeting
    capabilities: int


@dataclass(frozen=True)
class Door:
    """What every connection to a database is opened with.

    Attributes:
        address: Where, and who.
        tls: How the server proves who it is; ``None``: it does not.
        program: What the server shows of the client.
        timeout: Seconds for each address.
    """

    address: Address
    tls: ssl.SSLContext | None
    program: str
    timeout: float


async def connect(door: Door) -> Opened:
    """A connection to the first address that can be used.

    Raises:
        ConnectError: There is none; why the last one could not be used.
    """
    where = str(door.address)
    error = ConnectError("unreachable", where, "the name leads nowhere")
    for family, address in await _addresses(door.address):
        try:
            with anyio.fail_after(door.timeout):
                return await _connect(door, family, address)
        except TimeoutError:
            error = ConnectError("unreachable", where, f"no answer within {door.timeout} s")
        except ssl.SSLError as problem:
            # The library's own numbers and file names say nothing to who configures a server.
            reason = getattr(problem, "verify_message", "") or problem.reason or "TLS failed"
            error = ConnectError("tls", where, str(reason))
        except OSError as problem:
            error = ConnectError("unreachable", where, problem.strerror or str(problem))
        except (ProtocolError, RefusedError) as problem:
            error = ConnectError("refused", where, str(problem))
        except ConnectError as problem:
            error = problem
    raise error


async def _addresses(
    address: Address,
) -> list[tuple[socket.AddressFamily, str | tuple[str, int]]]:
    if address.socket:
        return [(socket.AF_UNIX, address.socket)]
    try:
        found = await anyio.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConnectError("unreachable", str(address), f"no such host: {reason}") from None
    return [(family, (str(where[0]), int(where[1]))) for family, _, _, _, where in found]


async def _connect(
    door: Door, family: socket.AddressFamily, address: str | tuple[str, int]
) -> Opened:
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        if family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = raw.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EAGAIN):
            await anyio.wait_writable(raw)
            code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        return await _let_in(door, Channel(raw, private=family == socket.AF_UNIX))
    except BaseException:
        raw.close()
        raise


class _Talk:
    """Messages one after the other, while nobody else uses the connection."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.packets = Packets(LARGEST)

    async def receive(self) -> bytes:
        while (packet := self.packets.next()) is None:
            data = self.channel.receive()
            if data is None:
                await anyio.wait_readable(self.channel.fd)
            elif not data:
                raise ConnectionResetError("the server has closed the connection")
            else:
                self.packets.feed(data)
        return packet

    async def send(self, payload: bytes) -> None:
        left = self.channel.send(framed(payload, self.packets.sequence))
        self.packets.sequence = (self.packets.sequence + 1) & 0xFF
        await self.flush(left)

    async def flush(self, left: bool) -> None:
        while left:
            await anyio.wait_writable(self.channel.fd)
            left = self.channel.flush()

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        if not self.packets.empty:
            # Somebody between could have put it there, to be taken for the server's later.
            raise ProtocolError("something came in the clear where TLS begins")
        channel = self.channel
        channel.encrypt(context, host)
        over = False
        try:
            while not over:
                over = channel.greet()
                await self.flush(channel.flush())
                if not over:
                    await anyio.wait_readable(channel.fd)
                    channel.take()
        except ssl.SSLError:
            # So that the server learns why.
            channel.flush()
            raise


async def _let_in(door: Door, channel: Channel) -> Opened:
    talk = _Talk(channel)
    where = str(door.address)
    first = await talk.receive()
    if first[:1] == bytes((c.ERROR,)):
        raise refusal(failure(first), where)
    hello = greeting(first)
    lacking = c.NEEDED & ~hello.capabilities
    if lacking:
        raise ConnectError(
            "version", where, f"it is {hello.version[:40]!r}, and lacks what is needed"
        )
    capabilities = c.WANTED & hello.capabilities
    if door.tls is not None:
        if not hello.capabilities & c.SSL:
            raise ConnectError("tls", where, "the server does not offer TLS")
        capabilities |= c.SSL
        await talk.send(tls_request(capabilities))
        await talk.encrypt(door.tls, door.address.host)
    address = door.address
    proof = Authentication(
        address.password, private=channel.private, plugin=hello.plugin, salt=hello.salt
    )
    answer = proof.begin()
    await talk.send(
        login(capabilities, address.user, answer, address.database, proof.plugin, door.program)
    )
    while (packet := await talk.receive())[:1] != bytes((c.OK,)):
        if packet[:1] == bytes((c.ERROR,)):
            raise refusal(failure(packet), where)
        if not packet:
            raise ProtocolError("an empty message while identifying")
        reply = proof.answer(packet)
        if reply is not None:
            await talk.send(reply)
    if not talk.packets.empty:
        raise ProtocolError("something came behind the end of the login")
    return Opened(channel, hello, capabilities)


async def kill(door: Door, thread: int) -> None:
    """Ask the server to end what a connection runs; returns when it will.

    Raises:
        ConnectError: It could not be asked.
        OSError: Nor did the connection for it last.
        ProtocolError: The answer is none.
    """
    opened = await connect(door)
    channel = opened.channel
    try:
        talk = _Talk(channel)
        await talk.send(c.COM_QUERY + b"KILL QUERY %d" % thread)
        command = Command(b"")
        while not command.feed(await talk.receive()):
            pass
    finally:
        channel.close()
