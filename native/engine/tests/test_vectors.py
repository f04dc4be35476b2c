"""The requests of llhttp's own tests: the same requests, or a refusal that is meant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from in_process import Feeder, Message
from llhttp_vectors import SPOILT, VECTORS, Vector

pytestmark = pytest.mark.once

native = pytest.importorskip("covet_engine._native", reason="the library is not built")

# What llhttp accepts and covet does not.
REFUSED = {
    "CONNECT request": "covet is no proxy",
    "CONNECT request with CAPS": "covet is no proxy",
    "CONNECT with body": "covet is no proxy",
    "Underscore in hostname": "a CONNECT: covet is no proxy",
    "M-SEARCH request": "the asterisk is for OPTIONS",
    "SOURCE request with ICE": "the protocol is not HTTP",
    "OPTIONS request with RTSP": "the protocol is not HTTP",
    "ANNOUNCE request with RTSP": "the protocol is not HTTP",
    "Upgrade GET request": "a WebSocket's handshake of a draft, without its key",
    "Multiple tokens with folding and LWS": "a WebSocket's handshake without its key",
    "curl GET": "a Host that is no host",
    "Firefox GET": "a Host that is no host",
    "No HTTP version": "HTTP/0.9",
    "Trailing headers": "a trailer section does not say what the content is",
    "POST with `chunked` as last transfer-encoding": "a fragment in the target",
    "POST with `chunked` as last transfer-encoding (multiple headers)": "a fragment in the target",
    "Fragment in URI": "a fragment in the target",
    "`host:port` and basic auth": "a user in the target's authority",
}
# What covet accepts and llhttp does not: it has a list of methods, covet has routes.
OTHER_METHODS = {"HTTP protocol and ANNOUNCE method", "Invalid method"}
HOSTLESS = [
    vector for vector in VECTORS if vector.meant != vector.data and b"HTTP/1.0" not in vector.data
]
each = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


@pytest.fixture(scope="module")
def feeder() -> Iterator[Feeder]:
    feeder = Feeder(native)
    yield feeder
    feeder.close()


def seen(feeder: Feeder, data: bytes) -> tuple[list[Message], int, bool]:
    """The complete requests in some bytes, with which status what follows is refused, and whether
    nothing more is read; the same whether the bytes come at once or one at a time.
    """
    whole = feeder.feed([data])
    split = feeder.feed(data[i : i + 1] for i in range(len(data)))
    assert (whole.complete, whole.refused, whole.closed) == (
        split.complete,
        split.refused,
        split.closed,
    )
    for message in whole.complete:
        message.version = b""  # the suite does not say
    return whole.complete, whole.refused, whole.closed


@each
def test_the_requests_are_those_it_says(feeder: Feeder, vector: Vector) -> None:
    messages, refused, closed = seen(feeder, vector.meant)
    if vector.meant != vector.data:
        for message in messages:
            message.headers = [pair for pair in message.headers if pair[0] != b"host"]
    if vector.name in OTHER_METHODS:
        assert len(messages) == 1
    elif vector.name in REFUSED:
        assert refused
        assert messages == vector.messages[: len(messages)]
        assert len(messages) < len(vector.messages)
    else:
        assert messages == vector.messages
        if vector.error and not vector.error.startswith("Pause"):
            # Some are cut off where llhttp had seen enough: covet judges whole lines.
            assert closed or seen(feeder, vector.meant + b"\r\n")[1]


@pytest.mark.parametrize("vector", HOSTLESS, ids=lambda vector: vector.name)
def test_without_a_host_none_is_a_request(feeder: Feeder, vector: Vector) -> None:
    # bad input 20
    messages, refused, _ = seen(feeder, vector.data)
    assert messages == []
    assert refused


def test_every_exception_is_one_of_them() -> None:
    names = {vector.name for vector in VECTORS}
    assert names >= set(REFUSED) | OTHER_METHODS
    assert not names & SPOILT
    assert len(VECTORS) > 100
    assert len(HOSTLESS) > 50
