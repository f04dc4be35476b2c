"""What h11 lets pass is refused; what is beyond doubt is not, however it comes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_hypercorn._strict import ChunkScanner, judge_head

GOOD = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a?b=c HTTP/1.1\r\nhOST:\ta.example:80 \r\nContent-Length: 7\r\nX:\r\n\r\n",
    b"GET http://a/b HTTP/1.1\r\nHost: A\r\nX: \x80\xff\ta\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-Continue\r\n\r\n",
)
BAD = (
    # bad input 2, 3
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\ncontent-length: 7\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7, 7\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +7\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1234567890123456789\r\n\r\n",
    # bad input 6, 14, 15
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n",
    # bad input 16, 20, 36
    b"GET @a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /#b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a;b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a%2fb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
)


@pytest.mark.parametrize("head", GOOD)
def test_good_heads_pass(head: bytes) -> None:
    assert judge_head(head) == 0


@pytest.mark.parametrize("head", BAD)
def test_bad_heads_do_not(head: bytes) -> None:
    assert judge_head(head) == 400


def test_an_unknown_expectation_is_417() -> None:
    # bad input 19
    assert judge_head(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n") == 417


def test_long_heads_are_judged_in_linear_time() -> None:
    # bad input 24: 100 times the bytes that a server takes
    size = 3_000_000
    for value in (b"x" * size + b"\x10", b" " * size + b"\0", b"a: " * size):
        assert judge_head(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + value + b"\r\n\r\n") in (0, 400)
    assert judge_head(b"GET / HTTP/1.1\r\n" + b"Content-Length: 1\r\n" * 100_000 + b"\r\n") == 400
    blanks = b"a" + b" " * size + b"b"
    for name, status in ((b"Host", 400), (b"Content-Length", 400), (b"Expect", 417)):
        assert judge_head(b"GET / HTTP/1.1\r\n" + name + b": " + blanks + b"\r\n\r\n") == status


@pytest.mark.parametrize("member", [b';a=""', b';a="\\""', b";a=b", b";a", b'";', b'"\\'])
def test_long_extensions_are_judged_in_linear_time(member: bytes) -> None:
    # bad input 11, 24: with a second way to read each member there would be 2 ** 600 to read all
    line = b"5" + member * (4000 // len(member))
    for end in (b"X \r\n", b'"\r\n', b"\n"):
        assert not accepts(line + end)


CHUNKED = b'3;a=b;c="d e\\";f";g\r\nabc\r\n00A\r\n0123456789\r\n000\r\nX-Sum: 1\r\nY:\r\n\r\n'


def accepts(*pieces: bytes) -> bool:
    scanner = ChunkScanner()
    return all(scanner.accepts(piece) for piece in pieces)


@given(st.lists(st.integers(1, len(CHUNKED) - 1), max_size=10, unique=True).map(sorted))
def test_good_chunks_pass_however_they_are_split(cuts: list[int]) -> None:
    edges = [0, *cuts, len(CHUNKED)]
    scanner = ChunkScanner()
    for a, b in pairwise(edges):
        assert not scanner.done
        assert scanner.accepts(CHUNKED[a:b])
    assert scanner.done
    assert scanner.accepts(b"GET / HTTP/1.1\n")  # behind the body: not its business


@pytest.mark.parametrize(
    "body",
    [
        # bad input 8, 9, 10, 11, 13
        b"5 ;a\r\n", b"5; a\r\n", b"5\t;a=b\r\n", b"5;a =b\r\n", b'5;a="\r\n', b'5;a="b\\"\r\n',
        b'5;a="b"c\r\n', b"5;a=\r\n", b"5;=b\r\n", b"0\r\nIF-Anything: x\r\n",
        b"0\r\nX-Forwarded-For: 1.2.3.4\r\n", b"0\r\nForwarded: for=a\r\n",
        b"5;\r\n", b"5;a\r\rb\r\n", b"5;a\nb\r\n", b"5\n", b"5 \r\n", b" 5\r\n", b"5;a=\0\r\n",
        b"0x5\r\n", b"+5\r\n", b"\r\n", b"12345678901234567\r\n", b"ffffffffffffffff\r\n",
        b"5;" + b"a" * 5000, b"0\r\nHost: a\r\n", b"0\r\n cont\r\n", b"0\r\na b: c\r\n",
        b"0\r\nx: a\nb: c\r\n", b"0\r\n" + b"t: x\r\n" * 65, b"1;a=b\r\nx\r\n" * 6000, b"5\rx",
    ],
)  # fmt: skip
def test_bad_chunks_do_not(body: bytes) -> None:
    assert not accepts(body)
    assert not accepts(*(bytes([each]) for each in body))


async def test_a_long_body_that_nobody_reads_ends_the_connection(server: Any) -> None:
    # bad input 18
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    async with server.listening(server.hello) as (listener, _):
        client = server.client(listener.connect())
        await client.send(head % 10_000_000 + b"x" * 1000)
        assert b"\r\nconnection: close" in (await client.answer())[1].lower()
        assert await client.until_closed() == b""
        # A short one is passed over, and the connection goes on.
        client = server.client(listener.connect())
        await client.send(head % 100_000 + b"x" * 1000)
        assert b"connection" not in (await client.answer())[1].lower()
        await client.send(b"x" * 99_000 + server.GET)
        assert (await client.answer())[0] == 200
        await client.stream.aclose()


async def test_a_short_body_that_dribbles_is_given_up(server: Any) -> None:
    # bad input 18, 21
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    async with server.listening(server.hello, read_timeout=0.05) as (listener, _):
        client = server.client(listener.connect())
        await client.send(head)
        assert (await client.answer())[0] == 200
        with anyio.fail_after(10), pytest.raises(anyio.BrokenResourceError):
            while True:
                await client.send(b"x")
                await anyio.sleep(0.01)


class Odd(BaseException):
    """No `Exception`."""


async def test_what_is_no_exception_ends_the_request_only(server: Any) -> None:
    failures: list[BaseException] = [
        Odd("one"),
        BaseExceptionGroup("two", [Odd("a"), ValueError("b")]),
        GeneratorExit(),
    ]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/odd":
            raise failures.pop()
        await server.hello(scope, receive, send)

    async with server.listening(application) as (listener, _):
        bystander = server.client(listener.connect())
        for _ in range(3):
            client = server.client(listener.connect())
            await client.send(b"GET /odd HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer())[0] == 500
            assert await client.until_closed() == b""
            await bystander.send(server.GET)
            assert (await bystander.answer())[0] == 200
        await bystander.stream.aclose()
