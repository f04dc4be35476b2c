"""A socket that never blocks, in the clear or under TLS."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

PIECE = 1 << 16
"""Bytes that are read at once."""


class Channel:
    """Bytes to and from a server. What cannot be sent at once waits for `flush`.

    Args:
        raw: Connected, and non-blocking.

    Attributes:
        private: Nobody else can read it, and the other end is known.
    """

    def __init__(self, raw: socket.socket, *, private: bool) -> None:
        self._raw = raw
        self._left = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.private = private
        self.fd = raw.fileno()

    def send(self, data: bytes) -> bool:
        """Send, or keep what cannot be sent yet; whether something is left.

        Raises:
            OSError: The connection has ended.
        """
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        if not self._left:
            data = data[self._send(data) :]
        self._left += data
        return bool(self._left)

    def flush(self) -> bool:
        """Send what is left; whether something still is.

        Raises:
            OSError: The connection has ended.
        """
        if self._left:
            del self._left[: self._send(self._left)]
        return bool(self._left)

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._raw.send(data)
        except BlockingIOError:
            return 0

    def receive(self) -> bytes | None:
        """What has come: nothing if the server has ended the connection, ``None`` if nothing came.

        Raises:
            OSError: The connection has ended, or what came is not what the server has sent.
        """
        try:
            data = self._raw.recv(PIECE)
        except BlockingIOError:
            return None
        if self._tls is None or not data:
            return data
        self._incoming.write(data)
        return self._decrypted() or None

    def _decrypted(self) -> bytes:
        assert self._tls is not None
        parts = []
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while part := self._tls.read(PIECE):
                parts.append(part)
        return b"".join(parts)

    # The beginning of TLS

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Begin TLS; `greet` until it is done."""
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def greet(self) -> bool:
        """Go on with TLS's handshake; whether it is done.

        Raises:
            ssl.SSLError: The server is not who it should be.
            OSError: The connection has ended.
        """
        assert self._tls is not None
        try:
            self._tls.do_handshake()
            over = True
        except ssl.SSLWantReadError:
            over = False
        finally:
            # The alert that says why not, too.
            self._left += self._outgoing.read()
        if over:
            self.private = True
        return over

    def take(self) -> None:
        """Take what has come for TLS's handshake.

        Raises:
            OSError: The connection has ended.
        """
        with suppress(BlockingIOError):
            data = self._raw.recv(PIECE)
            if not data:
                raise ConnectionResetError("the server has closed the connection")
            self._incoming.write(data)

    def close(self) -> None:
        """End it at once."""
        self._raw.close()
