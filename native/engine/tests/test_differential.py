"""covet against h11 and llhttp: it may be stricter than they are, never laxer.

Whatever covet accepts, both accept as the same requests; and however the bytes come, they are the
same requests.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from hostile import hostile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from in_process import Feeder, Message, Outcome
from oracles import folded, llhttp_sees, read_with_h11, read_with_llhttp

pytestmark = pytest.mark.once

native = pytest.importorskip("covet_engine._native", reason="the library is not built")

GOOD = b"GET /good HTTP/1.1\r\nHost: good\r\n\r\n"


@pytest.fixture(scope="module")
def feeder() -> Iterator[Feeder]:
    feeder = Feeder(native)
    yield feeder
    assert feeder.connections == 0
    assert feeder.in_flight == 0
    feeder.close()


def feed_alike(feeder: Feeder, data: bytes, cuts: list[int] | None = None) -> Outcome:
    """Feed bytes whole, one at a time, cut up, and behind a good request: it has to be the same."""
    whole = feeder.feed([data])
    assert same(whole, feeder.feed(data[i : i + 1] for i in range(len(data))))
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts or []}), len(data)]
    assert same(whole, feeder.feed(data[a:b] for a, b in itertools.pairwise(edges)))
    behind = feeder.feed([GOOD + data])
    assert behind.messages.pop(0).target == b"/good"
    assert same(whole, behind)
    return whole


def same(one: Outcome, other: Outcome) -> bool:
    """Whether two are alike. How much is seen of a body that never ends well may differ."""
    return (one.complete, one.refused, one.closed) == (
        other.complete,
        other.refused,
        other.closed,
    )


def check_against_h11(data: bytes, ours: Outcome) -> None:
    theirs = read_with_h11(data)
    check(ours, theirs, len(ours.complete))


def check_against_llhttp(data: bytes, ours: Outcome) -> None:
    theirs = read_with_llhttp(data)
    check(ours, theirs, llhttp_sees(data, ours.complete))


def check(ours: Outcome, theirs: Outcome, seen: int) -> None:
    """What covet accepted they accepted; and where covet waits for more they have no more either."""
    assert folded(theirs.complete[:seen]) == folded(ours.complete[:seen])
    waits = not (ours.refused or ours.closed or theirs.refused or theirs.closed)
    if waits and seen == len(ours.complete):
        assert len(theirs.complete) == seen


# Requests

token = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12)
framing = {"host", "content-length", "transfer-encoding", "expect", "connection", "upgrade", "te"}
names = (
    token | st.sampled_from(["Accept", "Cookie", "X-Y", "If-None-Match", "Content-Type"])
).filter(lambda name: name.lower() not in framing)
values = st.binary(max_size=60).map(
    lambda value: bytes(b for b in value if b == 9 or (b >= 0x20 and b != 0x7F)).strip(b" \t")
)
space = st.sampled_from([b"", b" ", b"\t", b"  \t "])
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"QUERY"])
targets = st.text("/abc09?%&=;:@!$'()*+,._~-", max_size=30).map(lambda text: b"/" + text.encode())
hosts = st.sampled_from([b"a", b"example.com:8000", b"[::1]:80", b"127.0.0.1"])
extensions = st.sampled_from([b"", b";a", b";a=b", b';a="b;\\"c"', b";a;b=c"])


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    coded = bytearray()
    while body:
        size = draw(st.integers(1, len(body)))
        digits = draw(st.sampled_from([b"%x", b"%X", b"%04x"])) % size
        coded += digits + draw(extensions) + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    coded += b"0" + draw(extensions) + b"\r\n"
    for value in draw(st.lists(values, max_size=2)):
        coded += b"X-Trailer: " + value + b"\r\n"
    return bytes(coded + b"\r\n")


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Message]:
    """A good request's bytes, and what it is."""
    message = Message(draw(methods), draw(targets), draw(st.sampled_from([b"1.1"] * 4 + [b"1.0"])))
    host = draw(hosts)
    fields = [(b"Host", host)] + [
        (name.encode(), value)
        for name, value in draw(st.lists(st.tuples(names, values), max_size=6))
    ]
    kinds = ["none", "length"] + ["chunked"] * (message.version == b"1.1")
    kind = draw(st.sampled_from(kinds))
    sent = b""
    if kind != "none":
        message.body = sent = draw(st.binary(max_size=300))
    if kind == "length":
        fields.append((b"Content-Length", draw(st.sampled_from([b"%d", b"%08d"])) % len(sent)))
    elif kind == "chunked":
        fields.append((b"Transfer-Encoding", draw(st.sampled_from([b"chunked", b"Chunked"]))))
        sent = draw(chunked(sent))
    if message.version == b"1.0":
        fields.append((b"Connection", b"keep-alive"))
    fields = draw(st.permutations(fields))
    head = message.method + b" " + message.target + b" HTTP/" + message.version + b"\r\n"
    for name, value in fields:
        head += name + b":" + draw(space) + value + draw(space) + b"\r\n"
        message.headers.append((name.lower(), value))
    message.complete = True
    return head + b"\r\n" + sent, message


SPOILERS = [bytes([b]) for b in b'\r\n\t \0:;,0a"\\\x0b\x7f\x80\xff'] + [
    b"\r\n",
    b"\r\n ",
    b"Content-Length: 1\r\n",
    b"Content-Length: +1\r\n",
    b"Content-Length: 1, 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"Expect: 100-continue\r\n",
    b"Host: b\r\n",
    b"0\r\n\r\n",
    b"1;\nx\r\n",
]


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Good requests with something done to them."""
    data = bytearray(
        b"".join(sent for sent, _ in draw(st.lists(requests(), min_size=1, max_size=2)))
    )
    # Most accidents happen at the ends of lines and beside colons.
    edges = [match.start() for match in re.finditer(rb"[\r\n:; ]", data)]
    for _ in range(draw(st.integers(1, 3))):
        anywhere = st.integers(0, len(data))
        at = draw(st.sampled_from(edges) | anywhere) if edges else draw(anywhere)
        width = draw(st.sampled_from([0, 0, 0, 1, 1, 2]))
        line = data.find(b"\r\n", at) + 2
        what = draw(st.sampled_from(SPOILERS) | st.just(b"") | st.just(bytes(data[at:line])))
        if what.endswith(b"\r\n") and draw(st.booleans()):
            at = line  # a line among lines
            width = 0
        data[at : at + width] = what
    return bytes(data)


cuts = st.lists(st.integers(0, 1 << 16), max_size=6)


@settings(deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3), cuts)
def test_good_requests_are_read_as_they_are_meant(
    feeder: Feeder, sent: list[tuple[bytes, Message]], cuts: list[int]
) -> None:
    data = b"".join(part for part, _ in sent)
    outcome = feed_alike(feeder, data, cuts)
    assert outcome == Outcome([message for _, message in sent])
    check_against_h11(data, outcome)
    check_against_llhttp(data, outcome)


@settings(deadline=None, max_examples=400)
@given(spoiled(), cuts)
@example(
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", []
)
@example(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", [])
def test_what_is_accepted_both_others_accept_as_the_same(
    feeder: Feeder, data: bytes, cuts: list[int]
) -> None:
    outcome = feed_alike(feeder, data, cuts)
    check_against_h11(data, outcome)
    check_against_llhttp(data, outcome)


@settings(deadline=None, max_examples=600)
@given(hostile(), cuts)
def test_of_hostile_requests_none_is_accepted_that_others_refuse(
    feeder: Feeder, data: bytes, cuts: list[int]
) -> None:
    outcome = feed_alike(feeder, data, cuts)
    check_against_h11(data, outcome)
    check_against_llhttp(data, outcome)


@settings(deadline=None)
@given(st.binary(max_size=60), cuts)
def test_any_bytes_are_the_same_however_they_come(
    feeder: Feeder, data: bytes, cuts: list[int]
) -> None:
    outcome = feed_alike(feeder, data, cuts)
    check_against_h11(data, outcome)
    check_against_llhttp(data, outcome)
