"""A client on bare sockets: it sends what it is told, also what no client should, and reads strictly."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Self

import anyio
import anyio.lowlevel

PATIENCE = 30.0
"""Seconds after which a server that does nothing is taken to hang."""
_READ = 1 << 18
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ([\x20-\x7e]*)\Z")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff]*?)[ \t]*\Z")
_DECIMAL = re.compile(r"\d+\Z")
_HEX = re.compile(rb"[0-9a-fA-F]+\Z")
_RESET = struct.pack("ii", 1, 0)


class WireError(Exception):
    """The server sent something that is no answer, or not all of one."""


@dataclass
class Answer:
    """One answer.

    Attributes:
        headers: By lower-case name; a name that comes twice is an error.
        trailers: Of a chunked answer.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str]

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Incomplete(Exception):
    """More bytes are needed."""


def read_answer(data: bytearray, method: str = "GET", *, ended: bool = False) -> Answer:
    """Take the answer that ``data`` begins with out of it.

    Args:
        data: What came; the answer is removed from it.
        method: Of the request, because an answer to HEAD has no body.
        ended: Whether the server has closed, which ends a body of unknown length.

    Raises:
        Incomplete: Nothing was removed.
        WireError: This is no answer.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > 1 << 16:
            raise WireError(f"the head of an answer does not end: {bytes(data[:200])!r}")
        raise Incomplete
    first, *lines = bytes(data[:end]).split(b"\r\n")
    status, headers = _status(first), _fields(lines)
    at, body, trailers = end + 4, b"", {}
    if method == "HEAD" or status in (204, 304) or status < 200:
        pass
    elif headers.get("transfer-encoding") == "chunked":
        if data.rfind(b"\r\n\r\n") <= end:
            raise Incomplete  # found fast, where going through all chunks again would not be
        if "content-length" in headers:
            raise WireError("an answer has both lengths")
        body, trailers, at = _chunks(data, at)
    elif "content-length" in headers:
        length = headers["content-length"]
        if not _DECIMAL.match(length):
            raise WireError(f"a length of {length!r}")
        if len(data) < at + int(length):
            raise Incomplete
        body = bytes(data[at : at + int(length)])
        at += len(body)
    else:
        if headers.get("connection") != "close":
            raise WireError(f"an answer without a length does not close: {headers}")
        if not ended:
            raise Incomplete
        body = bytes(data[at:])
        at = len(data)
    del data[:at]
    return Answer(status, headers, body, trailers)


def _status(line: bytes) -> int:
    found = _STATUS.match(line)
    if not found:
        raise WireError(f"no status line: {line[:200]!r}")
    return int(found[1])


def _fields(lines: Sequence[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        found = _FIELD.match(line)
        if not found:
            raise WireError(f"no field: {line[:200]!r}")
        name = found[1].decode("ascii").lower()
        if name in fields and name != "set-cookie":
            raise WireError(f"the field {name} comes twice")
        fields[name] = found[2].decode("latin-1")
    return fields


def _chunks(data: bytearray, at: int) -> tuple[bytes, dict[str, str], int]:
    pieces = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise Incomplete
        line = bytes(data[at:end])
        if not _HEX.match(line):
            raise WireError(f"no chunk size: {line[:200]!r}")
        size, at = int(line, 16), end + 2
        if size == 0:
            break
        if len(data) < at + size + 2:
            raise Incomplete
        pieces.append(bytes(data[at : at + size]))
        at += size
        if data[at : at + 2] != b"\r\n":
            raise WireError("a chunk does not end where it should")
        at += 2
    lines = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise Incomplete
        line, at = bytes(data[at:end]), end + 2
        if not line:
            return b"".join(pieces), _fields(lines), at
        lines.append(line)


def read_answers(data: bytes, methods: Sequence[str] = ()) -> list[Answer]:
    """All answers of a connection that has ended; they have to fill ``data`` exactly.

    Raises:
        WireError: They do not.
    """
    rest, found = bytearray(data), list[Answer]()
    finals = 0
    while rest:
        method = methods[finals] if finals < len(methods) else "GET"
        try:
            found.append(read_answer(rest, method, ended=True))
        except Incomplete:
            raise WireError(f"behind {len(found)} answers: {bytes(rest[:200])!r}") from None
        finals += found[-1].status >= 200
    return found


class Client:
    """One connection.

    Attributes:
        socket: Non-blocking.
        was_reset: Whether the server has ended the connection the hard way.
        ended: Whether the server has ended it in any way.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.was_reset = False
        self.ended = False
        self._rest = bytearray()

    async def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            ConnectionError: The server has ended the connection.
        """
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                await anyio.wait_writable(self.socket)

    async def offer(self, data: bytes, piece: int = 0) -> int:
        """Send what the server takes before it ends the connection, and say how much that was.

        Args:
            data: What to send.
            piece: Bytes a write, 0 for as many as there are. Between two writes the server, in the
                same event loop, has its turn.
        """
        sent = 0
        try:
            while sent < len(data):
                part = data[sent : sent + (piece or len(data))]
                await self.send(part)
                sent += len(part)
                if piece:
                    for _ in range(3):
                        await anyio.lowlevel.checkpoint()
        except ConnectionError:
            pass
        return sent

    async def receive(self) -> bytes:
        """Whatever has come, empty when the server has ended the connection."""
        while not self.ended:
            try:
                data = self.socket.recv(_READ)
            except BlockingIOError:
                await anyio.wait_readable(self.socket)
                continue
            except ConnectionError:
                self.was_reset = True
                data = b""
            self.ended = not data
            return data
        return b""

    async def receive_some(self, size: int) -> None:
        """Wait until at least this much has come; `answer` finds it."""
        while len(self._rest) < size and not self.ended:
            self._rest += await self.receive()

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer.

        Raises:
            WireError: The connection ended before it had all come.
        """
        while True:
            try:
                return read_answer(self._rest, method, ended=self.ended)
            except Incomplete:
                if self.ended:
                    how = "was reset" if self.was_reset else "ended"
                    raise WireError(f"{how} behind {bytes(self._rest[:200])!r}") from None
            self._rest += await self.receive()

    async def ask(self, target: str, method: str = "GET", body: bytes = b"") -> Answer:
        """One good request and its answer."""
        await self.send(request(target, method, body))
        return await self.answer(method)

    async def until_closed(self) -> bytes:
        """What the server sends until it closes."""
        while not self.ended:
            self._rest += await self.receive()
        data, self._rest = bytes(self._rest), bytearray()
        return data

    async def converse(self, data: bytes, piece: int = 0) -> bytes:
        """Send as `offer` does, reading at the same time until the server closes."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.offer, data, piece)
            got = await self.until_closed()
            tasks.cancel_scope.cancel()
        return got

    def finish(self) -> None:
        """Send no more, but go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection the hard way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


def request(target: str, method: str = "GET", body: bytes = b"", *fields: str) -> bytes:
    """The bytes of a good request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields]
    if body or method in ("POST", "PUT", "PATCH"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_SOURCES = count()


async def connect(port: int, *, buffer: int = 0, spread: bool = False) -> Client:
    """Connect to this machine.

    Args:
        port: Where the server listens.
        buffer: Size of the receive buffer, which bounds the window; 0: the system's.
        spread: Come from many addresses, as one has too few ports for tens of thousands.
    """
    made = socket.socket()
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            # Loopback's segments are larger than such a window, and a window that holds none is
            # sent to only when TCP's persist timer fires: 2 KB every 200 ms.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, max(buffer // 8, 100))
        if spread:
            made.bind((f"127.0.0.{2 + next(_SOURCES) // 16 % 200}", 0))
        try:
            made.connect(("127.0.0.1", port))
        except BlockingIOError:
            await anyio.wait_writable(made)
        if error := made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "connect")
    except BaseException:
        made.close()
        raise
    return Client(made)


@asynccontextmanager
async def connected(port: int, *, buffer: int = 0) -> AsyncIterator[Client]:
    """A connection for the length of the block, which may take `PATIENCE` seconds."""
    with anyio.fail_after(PATIENCE):
        client = await connect(port, buffer=buffer)
        try:
            yield client
        finally:
            client.close()


class Crowd:
    """Many connections that are all closed at the end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[Client] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        for client in self.clients:
            client.close()

    async def grow(self, size: int) -> None:
        """Connect until there are ``size``."""
        while len(self.clients) < size:
            self.clients.append(await connect(self.port, spread=True))
