"""Sockets whose connections can end in a way that nobody takes for the end of an answer."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

from anyio.lowlevel import current_token

# Closing then sends a reset, and throws away what has not left yet.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Resettable(socket.socket):
    """A socket that can be closed without the farewell which asyncio's streams say before.

    Attributes:
        broken: Whether it is to be.
    """

    broken = False

    def shutdown(self, how: int, /) -> None:
        """End one side, unless the whole connection is to break."""
        if not self.broken:
            super().shutdown(how)


def resettable(accepted: socket.socket) -> socket.socket:
    """The same connection as a socket for `reset`."""
    token: Any = current_token().native_token
    if not hasattr(token, "call_soon_threadsafe"):
        return accepted  # trio's streams say nothing before they close, and take plain sockets only
    return Resettable(fileno=accepted.detach())


def reset(sock: socket.socket) -> None:
    """Have the connection break when the socket is closed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    if isinstance(sock, Resettable):
        sock.broken = True
