"""The engine and the portable server read the same bytes as the same requests, or refuse them.

Each is strict in its own way, one in C and one around h11. Whatever one of them lets pass and the
other does not is either a request that could be smuggled, or one that is refused for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import anyio.from_thread
import pytest
from hostile import hostile
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import Feeder
from llhttp_vectors import VECTORS, Vector
from oracles import folded

from covet_http import ServerOptions
from covet_hypercorn import HypercornConfig, HypercornServer

pytestmark = pytest.mark.once

native = pytest.importorskip("covet_engine._native", reason="the library is not built")

# Before a request the engine passes over an empty line (RFC 9112, 2.2), and h11 does not.
EMPTY_LINES = {"Should parse multiple events", "Prefix newline", "Request starting with CRLF"}

Seen = tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]], bytes]
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")


class Portable:
    """The portable server, without sockets, and what its application was asked."""

    def __init__(self, portal: Any, listener: Any) -> None:
        self._portal = portal
        self._listener = listener
        self.seen: list[Seen] = []
        portal.call(listener.begin, self._application)

    def feed(self, pieces: list[bytes]) -> tuple[list[Seen], int]:
        """The whole requests in these bytes, and the status of the refusal behind them, or 0."""
        self.seen = []
        answers = self._portal.call(self._converse, pieces)
        statuses = [int(status) for status in STATUS.findall(answers)]
        return self.seen, next((status for status in statuses if status >= 400), 0)

    async def _converse(self, pieces: list[bytes]) -> bytes:
        stream = self._listener.connect()
        answers = b""
        with anyio.fail_after(30):
            try:
                for piece in pieces:
                    await stream.send(piece)
                await stream.send_eof()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
            try:
                while True:
                    answers += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
            await stream.aclose()
        return answers

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.request":
            query = scope["query_string"]
            target = scope["raw_path"] + (b"?" + query if query else b"")
            version = scope["http_version"].encode()
            self.seen.append(
                (scope["method"].encode(), target, version, list(scope["headers"]), body)
            )
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def feeder() -> Iterator[Feeder]:
    feeder = Feeder(native)
    yield feeder
    feeder.close()


@pytest.fixture(scope="module")
def portable() -> Iterator[Portable]:
    server = HypercornServer(HypercornConfig())
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(server.listen([], ServerOptions(linger=0.0))) as listener,
    ):
        yield Portable(portal, listener)


def read_by_the_engine(feeder: Feeder, pieces: list[bytes]) -> tuple[list[Seen], int]:
    outcome = feeder.feed(pieces)
    seen = [
        (each.method, each.target, each.version, each.headers, each.body)
        for each in folded(outcome.complete)
    ]
    # Of HTTP/1.0 the portable server keeps no connection, whoever asks for it.
    last = next((n for n, each in enumerate(seen, 1) if each[2] == b"1.0"), len(seen))
    return seen[:last], outcome.refused if last == len(seen) else 0


def agree(feeder: Feeder, portable: Portable, pieces: list[bytes]) -> None:
    """Both make the same requests of these bytes."""
    ours, refused = read_by_the_engine(feeder, pieces)
    theirs, theirs_refused = portable.feed(pieces)
    # h11 has the value of a transfer coding in lower case.
    found = [
        (*rest, [(name, value.lower() if name == b"transfer-encoding" else value)
                 for name, value in headers], body)
        for *rest, headers, body in theirs
    ]  # fmt: skip
    assert ours == found
    # At the end of the bytes what is not whole may be answered or not.
    assert not refused or theirs_refused


@settings(max_examples=1500)
@given(hostile(), st.sampled_from([0, 1, 7]))
def test_hostile_requests_are_the_same_or_none(
    feeder: Feeder, portable: Portable, data: bytes, size: int
) -> None:
    # bad input 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 19, 20
    agree(feeder, portable, pieces_of(data, size))


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_the_vectors_are_the_same_requests(
    feeder: Feeder, portable: Portable, vector: Vector, size: int
) -> None:
    for data in (vector.data, vector.meant):
        pieces = pieces_of(data, size)
        if vector.name not in EMPTY_LINES:
            agree(feeder, portable, pieces)
            continue
        theirs, refused = portable.feed(pieces)
        assert theirs == read_by_the_engine(feeder, pieces)[0][: len(theirs)]
        assert refused == 400


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
