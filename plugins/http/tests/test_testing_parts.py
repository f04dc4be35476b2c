"""The parts of the test client: what it reads, strictly, and what it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_http.testing import AnswerReader, Cookies, Headers, ServerSentEvent, WireError
from covet_http.testing._events import Events, Lines
from covet_http.testing._request import encode_request

ANSWERS = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\nhello"
    b"HTTP/1.1 204 No Content\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nt: 1\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end"
)
EXPECTED = [
    (100, b"", {}),
    (200, b"hello", {}),
    (204, b"", {}),
    (200, b"abc0123456789", {}),
    (200, b"x", {"t": "1"}),
    (200, b"until the end", {}),
]


def read_all(pieces: list[bytes]) -> list[Any]:
    """Every answer of a connection whose bytes come in these pieces."""
    reader, waiting, found = AnswerReader(), [*pieces, b""], list[Any]()
    while not reader.ended or reader.waiting:
        head = reader.head("GET")
        if head is None:
            reader.feed(waiting.pop(0))
            continue
        body = b""
        while (piece := reader.body()) != b"":
            if piece is None:
                reader.feed(waiting.pop(0))
            else:
                body += piece
        found.append((head.status, body, dict(reader.trailers)))
    return found


@given(st.lists(st.integers(1, len(ANSWERS) - 1), max_size=20, unique=True).map(sorted))
def test_answers_are_read_however_they_are_split(cuts: list[int]) -> None:
    edges = [0, *cuts, len(ANSWERS)]
    pieces = [ANSWERS[a:b] for a, b in pairwise(edges)]
    assert read_all(pieces) == EXPECTED


def test_answers_are_read_byte_by_byte() -> None:
    assert read_all([bytes([each]) for each in ANSWERS]) == EXPECTED


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", "no status line"),
        (b"HTTP/1.1 200\r\n\r\n", "no status line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "no field"),
        (b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "no field"),
        (b"HTTP/1.1 200 OK\r\na: \x00\r\n\r\n", "no field"),
        (b"HTTP/1.1 200 OK\r\netag: 1\r\nETag: 1\r\n\r\n", "comes twice"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n", "a length"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "no clear"),
        (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", "with chunks"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "does not close"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x5\r\n", "no chunk size"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n", "does not end"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", "cut off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", "cut off"),
        (b"HTTP/1.1 200 OK\r\ncon", "the connection ended"),
        (b"x" * 300_000, "does not end"),
    ],
)
def test_what_no_answer_is_is_an_error(data: bytes, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        read_all([data])


def test_an_answer_to_head_has_no_body() -> None:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    head = reader.head("HEAD")
    assert head is not None
    assert head.reason == "OK"
    assert reader.body() == b""


def test_fields_are_found_in_any_case() -> None:
    headers = Headers([("Vary", "a"), ("vary", "b"), ("Date", "now")])
    assert headers["VARY"] == "a, b"
    assert headers.all("vary") == ["a", "b"]
    assert "date" in headers
    assert "other" not in headers
    assert dict(headers) == {"vary": "a, b", "date": "now"}
    assert len(headers) == 2
    assert repr(headers).startswith("Headers([('vary', 'a')")


async def events(*pieces: bytes) -> list[ServerSentEvent]:
    async def come() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [event async for event in Events(Lines(come()))]


STREAM = (
    b"\xef\xbb\xbf: hello\n\nevent: price\ndata: 1\ndata:2\nid: 7\nretry: 10\n\n"
    b"data\r\n\r\ndata: x\rid: a\0b\rretry: 1s\runknown: 1\r\rdata: unfinished"
)
EVENTS = [
    ServerSentEvent(event="price", data="1\n2", id="7", retry=10),
    ServerSentEvent(data="", id="7"),
    ServerSentEvent(data="x", id="7"),
]


async def test_events_are_what_a_browser_makes_of_them() -> None:
    first, *rest = await events(STREAM)
    assert [first.replaced(comments=()), *rest] == EVENTS
    assert await events(b"data: \xc3\xa9\n\n") == [ServerSentEvent(data="é")]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(cuts=st.lists(st.integers(1, len(STREAM) - 1), max_size=20, unique=True).map(sorted))
def test_events_are_the_same_however_they_are_split(backend: str, cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]
    found = anyio.run(events, *pieces, backend=backend)
    assert [each.replaced(comments=()) for each in found] == EVENTS


def test_comments_stand_with_the_event_behind_them() -> None:
    found = anyio.run(events, b":one\n\n: two\ndata: x\n\ndata: y\n\n")
    assert [each.comments for each in found] == [("one", "two"), ()]


def test_cookies_follow_the_rules_of_browsers() -> None:
    cookies = Cookies()
    cookies.receive("a=1", "/books/7", secure=False)
    cookies.receive("b=2; Path=/; HttpOnly; SameSite=Lax", "/books/7", secure=False)
    cookies.receive("c=3; Secure; Path=/", "/", secure=False)
    cookies.receive("=4", "/", secure=False)
    cookies.receive("none", "/", secure=False)
    assert {each.name: each.path for each in cookies} == {"a": "/books", "b": "/"}
    (found,) = (each for each in cookies if each.name == "b")
    assert (found.http_only, found.secure, found.same_site) == (True, False, "lax")
    assert cookies.line("/books/8", secure=False) == "a=1; b=2"
    assert cookies.line("/bookshelf", secure=False) == "b=2"
    cookies.receive("c=3; Secure; Path=/", "/", secure=True)
    assert cookies.line("/", secure=False) == "b=2"
    assert cookies.line("/", secure=True) == "b=2; c=3"
    cookies.receive("b=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/", secure=False)
    cookies.receive("c=; Path=/; Max-Age=0; Secure", "/", secure=True)
    cookies.receive("d=1; Path=/; Expires=tomorrow", "/", secure=False)
    assert [each.name for each in cookies] == ["a", "d"]
    assert cookies.get("d") == "1"
    assert cookies.get("b") is None
    cookies.clear()
    assert len(cookies) == 0


def test_targets_are_percent_encoded_where_they_have_to_be() -> None:
    def target(path: str, **more: Any) -> str:
        return encode_request("GET", path, host="h", **more).target

    assert target("/a b/é/%41/../x?q=ü&r") == "/a%20b/%C3%A9/%41/../x?q=%C3%BC&r"
    assert target("/a", params={"b": [1, 2]}) == "/a?b=1&b=2"
    assert target("/a?x=1", params=[("b", "&")]) == "/a?x=1&b=%26"
    assert target("/a?") == "/a?"
    assert target("*") == "*"
