"""The members of a room, as one process that spins: no server pays for waking it."""

from __future__ import annotations

import json
import select
import socket
import time
import zlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from entries import frame, handshake
from messages import JOINED, MESSAGES

PATIENCE = 30
TAIL = b"\0\0\xff\xff"


class WrongMessageError(Exception):
    """A member was not sent what was broadcast."""


class Member:
    """One WebSocket, as far as it takes to see that each broadcast came whole.

    Attributes:
        welcome: What it was sent first.
    """

    def __init__(self, port: int, path: str, *, deflate: bool = False) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(handshake(path, deflate=deflate))
        while b"\r\n\r\n" not in (received := self._peek()):
            pass
        head, _, _ = received.partition(b"\r\n\r\n")
        self.socket.recv(len(head) + 4)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise WrongMessageError(f"no WebSocket: {head!r}")
        said = head.lower()
        self.compressed = b"permessage-deflate" in said
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._forgets = b"server_no_context_takeover" in said
        self._rest = b""
        while (joined := self.take()) is None:
            pass
        self.welcome = self.payload(joined)

    def _peek(self) -> bytes:
        received = self.socket.recv(4096, socket.MSG_PEEK)
        if not received:
            raise ConnectionResetError("closed within the handshake")
        return received

    def take(self) -> bytes | None:
        """A whole frame, if there is one now."""
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionResetError("a member was closed")
        got = self._rest + received if self._rest else received
        if len(got) >= 2:
            short = got[1] & 0x7F
            size = 2 + short if short < 126 else 4 + int.from_bytes(got[2:4], "big")
            if short == 127 or len(got) > size > 4:
                raise WrongMessageError(f"more than one message: {got[:20]!r}")
            if len(got) == size:
                self._rest = b""
                return got
        self._rest = got
        return None

    def payload(self, whole: bytes) -> bytes:
        """What a frame says. Compressed ones are to be given all of them, in turn."""
        said = whole[2 if whole[1] < 126 else 4 :]
        if not whole[0] & 0x40:
            return said
        if self._forgets:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inflater.decompress(said + TAIL)


class Room:
    """So many members of a server, and the one at whose word it broadcasts.

    Args:
        port: The server's.
        count: How many.
        messages: What it broadcasts, in turn.
        deflate: Whether members offer compression.

    Raises:
        WrongMessageError: The server has not made them members.
    """

    def __init__(
        self,
        port: int,
        count: int,
        messages: Sequence[str] = MESSAGES,
        *,
        deflate: bool = False,
    ) -> None:
        self.poll = select.epoll()
        self.messages = messages
        self.members: dict[int, Member] = {}
        self.control = Member(port, "/control")
        _has_joined(self.control)
        for _ in range(count):
            member = Member(port, "/members", deflate=deflate)
            self.welcomed(member)
            self.members[member.socket.fileno()] = member
            self.poll.register(member.socket, select.EPOLLIN)
        self.first = next(iter(self.members.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in (self.control, *self.members.values()):
            each.socket.close()
        self.poll.close()

    def broadcasts(self, numbers: Sequence[int]) -> None:
        """One behind the other: the next is asked for when all have the one before.

        Raises:
            WrongMessageError: A member was sent something else, or nothing in half a minute.
        """
        for number in numbers:
            index = number % len(self.messages)
            self.control.socket.sendall(frame(1, str(index).encode(), b"\1\2\3\4"))
            self._all_have(self.messages[index])

    def _all_have(self, message: str) -> None:
        plain = b""
        waiting, end = len(self.members), time.monotonic() + PATIENCE
        while waiting:
            for descriptor, _ in self.poll.poll(0):
                member = self.members[descriptor]
                whole = member.take()
                if whole is None:
                    continue
                waiting -= 1
                plain = plain or self.expected(message, whole)
                # Inflating all would take longer than the server does; one shows that it is right.
                if member is self.first and member.compressed:
                    right = member.payload(whole) == message.encode()
                else:
                    right = bool(whole[0] & 0x40) if member.compressed else whole == plain
                if not right:
                    raise WrongMessageError(f"another message than was broadcast: {whole[:40]!r}")
            if time.monotonic() > end:
                raise WrongMessageError(f"{waiting} members have waited for {PATIENCE} seconds")

    def welcomed(self, member: Member) -> None:
        """Look at what a member was sent first.

        Raises:
            WrongMessageError: It is not what members are to be sent.
        """
        _has_joined(member)

    def expected(self, message: str, first: bytes) -> bytes:
        """The frame that each member has to be sent.

        Args:
            message: What is broadcast.
            first: The frame that came first.

        Raises:
            WrongMessageError: That one says something else.
        """
        return frame(1, message.encode())


class NumberedRoom(Room):
    """One in which messages have the room's name, and ids that count up by one."""

    name = ""
    last = ""

    def welcomed(self, member: Member) -> None:
        said = json.loads(member.welcome)
        if said.keys() != {"room", "you", "last"}:
            raise WrongMessageError(f"no welcome: {member.welcome!r}")
        self.name, self.last = said["room"], said["last"]

    def expected(self, message: str, first: bytes) -> bytes:
        said = first[4:]
        epoch, _, position = self.last.rpartition(".")
        self.last = f"{epoch}.{int(position) + 1}"
        wanted = {"room": self.name, "id": self.last, "message": json.loads(message)}
        if json.loads(said) != wanted:
            raise WrongMessageError(f"another message than was published: {said[:80]!r}")
        return frame(1, said)


def _has_joined(member: Member) -> None:
    if member.welcome != JOINED.encode():
        raise WrongMessageError(f"{member.welcome!r} instead of {JOINED}")
