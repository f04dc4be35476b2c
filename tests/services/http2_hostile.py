"""What no HTTP/2 client should send: floods of frames, and requests that are none."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import anyio
from services.http2 import BLOCK, CALM, frame, raw


async def flood(listener: Any, pieces: Iterable[bytes], *, code: int | None = CALM) -> None:
    """Send until the server ends the connection, which it has to do, and say why."""
    assert await flooded(listener, pieces) == code


async def flooded(listener: Any, pieces: Iterable[bytes]) -> int | None:
    """Send until the server ends the connection; the code that it has given."""
    async with raw(listener) as client:
        async with anyio.create_task_group() as tasks:

            async def send() -> None:
                try:
                    for piece in pieces:
                        await client.send(piece)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    pass

            tasks.start_soon(send)
            await client.until_closed()
            tasks.cancel_scope.cancel()
        return client.goaway


def floods(block: bytes = BLOCK, body: bytes = b"") -> dict[str, Iterable[bytes]]:
    """Endless, each of them.

    Args:
        block: The headers of the requests they are made of.
        body: What follows the headers where they do not end the request; it ends it then.
    """
    streams = range(1, 200_001, 2)

    def opened(stream: int) -> bytes:
        return frame(1, stream, block, 0x4) + (frame(0, stream, body, 0x1) if body else b"")

    return {
        # bad input 27
        "rapid-reset": (opened(n) + frame(3, n, b"\0\0\0\x08") for n in streams),
        # bad input 28
        "made-to-reset-by-window": (
            opened(n) + frame(8, n, b"\x7f\xff\xff\xff") for n in streams
        ),
        "made-to-reset-by-header": (
            frame(1, n, block + b"\x00\x01\x41\x01\x62", 0x5) for n in streams
        ),
        "made-to-reset-by-path": (
            frame(1, n, bytes.fromhex("8386040141410161"), 0x5) for n in streams
        ),
        "made-to-reset-by-content": (
            frame(1, n, block + b"\x0f\x0d\x015", 0x5) for n in streams  # a length, and no body
        ),
        "made-to-reset-by-more": (
            frame(1, n, block, 0x5) + frame(0, n, b"x") for n in streams
        ),
        "made-to-reset-by-no-window": (
            opened(n) + frame(8, n, b"\0\0\0\0") for n in streams
        ),
        "made-to-reset-by-priority": (
            frame(1, n, struct.pack("!IB", n, 1) + block, 0x25) for n in streams
        ),
        # bad input 29
        "continuation-of-a-reset-stream": (
            [frame(1, 1, block, 0x4) + frame(3, 1, b"\0\0\0\x08") + frame(1, 3, block)]
            + [frame(9, 3, b"\x40\x01a\x01b") * 100 for _ in range(1000)]
        ),
        "continuation": (
            frame(1, 1, block) + frame(9, 1, b"\x40\x01a\x01b" * 10) * 100 for _ in range(1000)
        ),
        "empty-continuation": (frame(1, 1, block) + frame(9, 1) * 1000 for _ in range(1000)),
        "large-continuation": (frame(1, 1, block) + frame(9, 1, b"x" * 16_000) * 10 for _ in range(9)),
        # bad input 31
        "settings": (frame(4, 0, b"\0\x04\0\0\xff\xff") * 100 for _ in range(1000)),
        "ping": (frame(6, 0, b"12345678") * 100 for _ in range(1000)),
        "priority": (frame(2, n, b"\0\0\0\0\x10") * 100 for n in streams),
        "empty-data": (
            [frame(1, 1, block, 0x4)] + [frame(0, 1) * 100 for _ in range(1000)]
        ),
        "window-dribble": (frame(8, 0, b"\0\0\0\x01") * 100 for _ in range(1000)),
        "window-dribble-of-a-stream": (
            [frame(1, 1, block, 0x4)] + [frame(8, 1, b"\0\0\0\x01") * 100 for _ in range(1000)]
        ),
        "empty-headers": (frame(1, n, b"", 0x5) for n in streams),
        "unknown": (frame(99, 0, b"x") * 100 for _ in range(1000)),
        "oversized": iter([b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", b"x" * 100_000]),
    }  # fmt: skip


def broken(path: str = "/") -> dict[str, Any]:
    """Requests that are none, for this path: the headers of each."""
    pseudo = {":method": "POST", ":scheme": "http", ":authority": "a", ":path": path}

    def those(**more: str) -> list[tuple[str, str]]:
        return [*{**pseudo, **{f":{name}": value for name, value in more.items()}}.items()]

    good = those()
    return {
        # bad input 32
        "line-end-in-value": [*good, ("x", "a\r\nb: c")],
        "nul-in-value": [*good, ("x", "a\0b")],
        "line-end-in-name": [*good, ("x\r\ny", "a")],
        "upper-case": [*good, ("X-A", "a")],
        "connection": [*good, ("connection", "close")],
        "transfer-encoding": [*good, ("transfer-encoding", "chunked")],
        "te": [*good, ("te", "gzip")],
        "te-list": [*good, ("te", "trailers, gzip")],
        "keep-alive": [*good, ("keep-alive", "1")],
        "proxy-connection": [*good, ("proxy-connection", "close")],
        "upgrade": [*good, ("upgrade", "h2c")],
        "line-feed-in-value": [*good, ("x", "a\nb: c")],
        "blank-before-value": [*good, ("x", " a")],
        "tab-behind-value": [*good, ("x", "a\t")],
        "escape-in-value": [*good, ("x", "a\x1b[31mb")],
        "delete-in-value": [*good, ("x", "a\x7f")],
        "nul-in-cookie": [*good, ("cookie", "a=b\0")],
        "empty-name": [*good, ("", "a")],
        "blank-in-name": [*good, ("x y", "a")],
        "colon-in-name": [*good, ("x:y", "a")],
        "name-beyond-ascii": [*good, ("é", "a")],
        "two-lengths": [*good, ("content-length", "1"), ("content-length", "1")],
        "signed-length": [*good, ("content-length", "+1")],
        "list-of-lengths": [*good, ("content-length", "1, 1")],
        # bad input 33
        "pseudo-behind": [*good[:-1], ("x", "a"), good[-1]],
        "two-paths": [*good, (":path", "/b")],
        "two-methods": [*good, (":method", "GET")],
        "two-authorities": [*good, (":authority", "a")],
        "unknown-pseudo": [*good, (":x", "a")],
        "length-and-no-body": [*good, ("content-length", "5")],
        "another-host": [*good, ("host", "b")],
        "two-hosts": [*good, ("host", "a"), ("host", "a")],
        "no-host": [each for each in good if each[0] != ":authority"],
        "no-path": good[:-1],
        "empty-path": those(path=""),
        "empty-method": those(method=""),
        "empty-authority": those(authority=""),
        "response": [*good, (":status", "200")],
        # bad input 36
        "bad-path": those(path="@evil.example"),
        "fragment": those(path="/a#b"),
        "blank-in-path": those(path="/a b"),
        "line-end-in-path": those(path="/a\r\nb"),
        "bad-method": those(method="GE T"),
        # bad input 35
        "bad-authority": those(authority="u@a"),
        "path-in-authority": those(authority="a/admin?"),
        "bad-scheme": those(scheme="javascript"),
        # bad input 34
        "protocol-without-connect": [*those(), (":protocol", "websocket")],
        "connect-to-a-bad-path": [*those(method="CONNECT", path="x"), (":protocol", "websocket")],
    }  # fmt: skip
