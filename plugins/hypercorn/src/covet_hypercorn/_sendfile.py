"""Files that the system sends by itself, from its memory to the socket: ASGI's zero copy send."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import anyio
import anyio.lowlevel
from anyio.to_thread import run_sync

ZEROCOPYSEND: Final = "http.response.zerocopysend"
"""The extension and its message."""
CAN_SEND_FILES: Final = hasattr(os, "sendfile") and hasattr(os, "RWF_NOWAIT")

# What the system is told to send at once, and reads from the disk ahead of that.
_MOST: Final = 256 * 1024


class Span:
    """A span of an open file, where h11 wants the bytes of a body.

    Args:
        message: `ZEROCOPYSEND`; without offset and count it is what follows in the file.

    Attributes:
        descriptor: Of the file.
        at: Where it begins.
        size: How many bytes it has.
    """

    __slots__ = ("at", "descriptor", "size")

    def __init__(self, message: Any) -> None:
        file = message["file"]
        self.descriptor: int = file if isinstance(file, int) else file.fileno()
        at, size = message.get("offset"), message.get("count")
        self.at: int = os.lseek(self.descriptor, 0, os.SEEK_CUR) if at is None else at
        self.size: int = os.fstat(self.descriptor).st_size - self.at if size is None else size

    def __len__(self) -> int:
        return self.size


async def send_file(sock: socket.socket, span: Span, go_on: Callable[[], None]) -> None:
    """Send a span over a socket, from which nothing else is sent meanwhile.

    Args:
        sock: Does not block, and all that was written before has left.
        span: What to send.
        go_on: Called before each wait for the client.

    Raises:
        EOFError: The file ends before the span does.
        OSError: The client is gone.
    """
    # A descriptor of its own: asyncio lets nobody else wait for one that its streams wait for.
    out = os.dup(sock.fileno())
    try:
        at, end = span.at, span.at + span.size
        while at < end:
            send = partial(os.sendfile, out, span.descriptor, at, min(end - at, _MOST))
            go_on()
            try:
                # What is not in memory the disk has to bring, and a thread waits for it.
                sent = send() if _is_at_hand(span.descriptor, at, end) else await run_sync(send)
            except BlockingIOError:
                await anyio.wait_writable(out)
                continue
            if not sent:
                raise EOFError("the file ends before what is to be sent of it")
            at += sent
            await anyio.lowlevel.checkpoint()
    finally:
        anyio.notify_closing(out)
        os.close(out)


def _is_at_hand(descriptor: int, at: int, end: int) -> bool:
    """Whether sending some more would not wait for the disk, going by its last byte."""
    last = min(end, at + _MOST) - 1
    try:
        return os.preadv(descriptor, [bytearray(1)], last, os.RWF_NOWAIT) == 1
    except OSError:
        return False
