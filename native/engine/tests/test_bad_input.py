"""Malformed and hostile requests over sockets: refused, closed, nothing behind them parsed.

Every case comes in one write, in a byte a write, and behind a good pipelined request, with a good
request behind it that must never be answered. A bystander's connection lives through all of it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from served import Current, Process, listening, process, serving
from wire import Client, WireError, connected, read_answers, request

pytestmark = pytest.mark.once

JSON = b'{"n":5}'
GOOD = request("/hit/good")
SECOND = request("/hit/second")
LAST = request("/hit/second", "GET", b"", "Connection: close")
TYPE = b"Content-Type: application/json\r\n"
# Beyond it a byte a write takes too long; the pieces then end where no line does.
SMALL = 2000
PIECE = 997


class Bad:
    """One bad input.

    Attributes:
        row: Of the list of bad inputs.
        name: For the test's name.
        data: The bytes.
        statuses: Any of these is right.
    """

    def __init__(self, row: int, name: str, data: bytes, *statuses: int) -> None:
        self.row = row
        self.name = name
        self.data = data
        self.statuses = statuses or (400,)


def post(*lines: bytes, body: bytes = JSON, start: bytes = b"POST /numbers HTTP/1.1") -> bytes:
    """A request whose framing is for the test to say."""
    return b"\r\n".join([start, b"Host: a", b"Content-Type: application/json", *lines, b"", body])


def get(*lines: bytes, start: bytes = b"GET /hit/bad HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: a", *lines, b"", b""])


def chunked(coded: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=coded)


CHUNKED = b'7\r\n{"n":5}\r\n0\r\n\r\n'
TE, CL = b"Transfer-Encoding: chunked", b"Content-Length: 7"


def lengths() -> Iterable[Bad]:
    # bad input 1
    yield Bad(1, "length-then-chunked", post(CL, TE, body=CHUNKED))
    yield Bad(1, "chunked-then-length", post(TE, CL, body=CHUNKED))
    yield Bad(1, "chunked-zero-length", post(TE, b"Content-Length: 0", body=CHUNKED))
    yield Bad(
        1, "chunked-length-of-coded", post(TE, b"Content-Length: %d" % len(CHUNKED), body=CHUNKED)
    )
    # bad input 2
    yield Bad(2, "different", post(CL, b"Content-Length: 8"))
    yield Bad(2, "zero-first", post(b"Content-Length: 0", CL))
    yield Bad(2, "same-twice", post(CL, CL))
    yield Bad(2, "list", post(b"Content-Length: 7, 7"))
    yield Bad(2, "list-different", post(b"Content-Length: 7, 8"))
    yield Bad(2, "list-trailing-comma", post(b"Content-Length: 7,"))
    yield Bad(2, "list-leading-comma", post(b"Content-Length: ,7"))
    # bad input 3
    for name, value in {
        "plus": b"+7",
        "minus": b"-7",
        "minus-zero": b"-0",
        "underscore": b"0_7",
        "hexadecimal": b"0x7",
        "letter": b"7Z",
        "empty": b"",
        "blank": b" ",
        "space-inside": b"7 7",
        "tab-inside": b"7\t7",
        "point": b"7.0",
        "exponent": b"7e0",
        "quoted": b'"7"',
        "full-width": "７".encode(),
        "arabic": "٧".encode(),
        "vertical-tab": b"\x0b7",
        "form-feed": b"7\x0c",
        "no-break-space": b"\xa07",
        "nul": b"7\0",
        "semicolon": b"7;",
        "30-digits": b"9" * 30,
        "2-to-64-and-7": b"18446744073709551623",
        "300-zeros": b"0" * 300 + b"7",
    }.items():
        yield Bad(3, name, post(b"Content-Length: " + value))
    for name, size in {
        "2-to-64-less-1": (1 << 64) - 1,
        "2-to-64": 1 << 64,
        "2-to-63": 1 << 63,
        "2-to-32-and-7": (1 << 32) + 7,
    }.items():
        # What is a number may be refused as too much instead, but it is never forgotten.
        yield Bad(
            3, name, post(b"Content-Length: %d" % size), 400, 413,
        )  # fmt: skip


def codings() -> Iterable[Bad]:
    # bad input 4
    yield Bad(4, "two-lines", post(TE, TE, body=CHUNKED), 400, 501)
    yield Bad(4, "chunked-chunked", post(TE + b", chunked", body=CHUNKED), 400, 501)
    yield Bad(4, "chunked-identity", post(TE + b", identity", body=CHUNKED), 400, 501)
    yield Bad(
        4, "identity-chunked", post(b"Transfer-Encoding: identity, chunked", body=CHUNKED), 400, 501
    )
    yield Bad(
        4, "identity-then-chunked", post(b"Transfer-Encoding: identity", TE, body=CHUNKED), 400, 501
    )
    yield Bad(4, "identity", post(b"Transfer-Encoding: identity", CL), 400, 501)
    yield Bad(4, "gzip-chunked", post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED), 400, 501)
    yield Bad(4, "chunked-gzip", post(TE + b", gzip", body=CHUNKED), 400, 501)
    # bad input 5
    for name, value in {
        "xchunked": b"xchunked",
        "chunkedx": b"chunkedx",
        "leading-comma": b",chunked",
        "trailing-comma": b"chunked,",
        "parameter": b"chunked;q=1",
        "vertical-tab": b"\x0bchunked",
        "form-feed": b"chunked\x0c",
        "unicode-spaces": b"\xa0chunked\x85",
        "nul": b"chunked\0",
        "quoted": b'"chunked"',
        "empty": b"",
        "space": b"chun ked",
        "kelvin": "chun\u212aed".encode(),
    }.items():
        yield Bad(5, name, post(b"Transfer-Encoding: " + value, body=CHUNKED), 400, 501)
    # bad input 6
    yield Bad(6, "space-before-colon", post(b"Transfer-Encoding : chunked", body=CHUNKED))
    yield Bad(6, "tab-before-colon", post(b"Transfer-Encoding\t: chunked", body=CHUNKED))
    yield Bad(6, "length-space-before-colon", post(b"Content-Length : 7"))
    for name, fold in {
        "tab": post(b"\tContent-Length: 1"),
        "space": post(b" " + CL),
        "value": post(b"Transfer-Encoding:", b" chunked", body=CHUNKED),
        "list": post(TE, b" , identity", body=CHUNKED),
        "length": post(b"Content-Length:", b"\t7"),
        "blank": post(CL, b" "),
    }.items():
        yield Bad(6, f"fold-{name}", fold, 400, 501)
    yield Bad(6, "fold-first", b"GET /hit/bad HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n")
    # bad input 7
    yield Bad(7, "http-1.0", post(TE, body=CHUNKED, start=b"POST /numbers HTTP/1.0"))
    yield Bad(
        7, "http-1.0-identity",
        post(b"Transfer-Encoding: identity", CL, start=b"POST /numbers HTTP/1.0"), 400, 501,
    )  # fmt: skip


def chunks() -> Iterable[Bad]:
    # bad input 8
    for name, size in {
        "0x": b"0x7",
        "plus": b"+7",
        "minus": b"-7",
        "underscore": b"0_7",
        "space-before": b" 7",
        "tab-before": b"\t7",
        "space-behind": b"7 ",
        "tab-behind": b"7\t",
        "empty": b"",
        "letter": b"g",
        "full-width": "７".encode(),
        "nul": b"7\0",
        "17-digits": b"00000000000000007",
        "2-to-64-and-7": b"10000000000000007",
        "30-digits": b"0" * 30 + b"7",
        "sign-bit": b"fffffffffffffff9",
        "all-ones": b"ffffffffffffffff",
        "comma": b"7,",
        "quote": b'"7"',
    }.items():
        statuses = (400, 413) if name in ("sign-bit", "all-ones") else (400,)
        yield Bad(8, name, chunked(size + b'\r\n{"n":5}\r\n0\r\n\r\n'), *statuses)
    # bad input 9
    for name, behind in {
        "two-others": b"XX",
        "line-feed": b"\n",
        "line-feed-twice": b"\n\n",
        "carriage-return-and-other": b"\rX",
        "reversed": b"\n\r",
        "nothing": b"",
        "one-too-many": b"X\r\n",
    }.items():
        yield Bad(9, f"data-{name}", chunked(b'7\r\n{"n":5}' + behind + b"0\r\n\r\n"))
    for name, end in {
        "XX": b"0\r\nXX\r\n\r\n",
        "X-behind-zero": b"0X\r\n\r\n",
        "line-feed": b"0\r\n\n",
        "carriage-return": b"0\r\n\rX",
        "size-line-feed": b"0\n\r\n",
        "size-carriage-return": b"0\r\r\n\r\n",
    }.items():
        yield Bad(9, f"last-{name}", chunked(b'7\r\n{"n":5}\r\n' + end))
    # bad input 10
    for name, line in {
        "line-feed": b"7\n",
        "carriage-return": b"7\r",
        "carriage-return-twice": b"7\r\r\n",
        "line-feed-in-extension": b"7;\nxx\r\n",
        "line-feed-ends-extension": b"7;a=b\n",
        "carriage-returns-in-extension": b"7;a\r\rb\r\n",
        "carriage-return-in-extension": b"7;a\rb\r\n",
        "line-feed-in-quotes": b'7;a="\n"\r\n',
        "carriage-return-in-quotes": b'7;a="\r"\r\n',
    }.items():
        yield Bad(10, name, chunked(line + b'{"n":5}\r\n0\r\n\r\n'))
    # bad input 11
    for name, extension in {
        "bare": b";",
        "bare-and-space": b"; ",
        "two-bare": b";;",
        "no-name": b";=b",
        "nul": b";a\0b",
        "control": b";a\x01",
        "delete": b";a\x7f",
    }.items():
        yield Bad(11, name, chunked(b"7" + extension + b'\r\n{"n":5}\r\n0\r\n\r\n'))
    yield Bad(
        11,
        "megabyte",
        chunked(b"7;a=" + b"b" * (1 << 20) + b'\r\n{"n":5}\r\n0\r\n\r\n'),
        400, 413, 431,
    )  # fmt: skip
    heavy = b"".join(b"1;a=" + b"b" * 100_000 + b"\r\n" + bytes([byte]) + b"\r\n" for byte in JSON)
    yield Bad(11, "heavy", chunked(heavy + b"0\r\n\r\n"), 400, 413, 431)
    # bad input 13
    for trailer in (
        b"Content-Length: 7",
        b"Transfer-Encoding: chunked",
        b"Host: b",
        b"Authorization: Bearer x",
        b"content-length:7",
        b"Content-Type: text/plain",
        b"Cookie: a=b",
        b"Trailer: a",
        b"Expect: 100-continue",
    ):
        yield Bad(
            13, trailer.partition(b":")[0].decode(),
            chunked(b'7\r\n{"n":5}\r\n0\r\n' + trailer + b"\r\n\r\n"),
        )  # fmt: skip
    for name, broken in {
        "no-colon": b"abc",
        "space-before-colon": b"a : b",
        "empty-name": b": b",
        "nul": b"a: b\0",
        "fold": b"a: b\r\n c",
        "line-feed": b"a: b\nc: d",
    }.items():
        yield Bad(
            13, f"trailer-{name}", chunked(b'7\r\n{"n":5}\r\n0\r\n' + broken + b"\r\n\r\n")
        )  # fmt: skip
    many = b"".join(b"t%d: x\r\n" % n for n in range(10_000))
    yield Bad(13, "10000", chunked(b'7\r\n{"n":5}\r\n0\r\n' + many + b"\r\n"), 400, 413, 431)


def heads() -> Iterable[Bad]:
    # bad input 14
    host = b"GET /hit/bad HTTP/1.1\r\nHost: a"
    yield Bad(14, "end-cr-x", host + b"\r\n\rX\r\n\r\n")
    yield Bad(14, "end-cr-cr-lf", host + b"\r\n\r\r\n\r\n")
    yield Bad(14, "lone-cr", host + b"\rX: y\r\n\r\n")
    yield Bad(14, "lone-cr-smuggles", host + b"\rContent-Length: 30\r\n\r\n")
    for name, broken in {
        "everywhere": host.replace(b"\r", b"") + b"\n\n",
        "one-line": host + b"\nX: y\r\n\r\n",
        "end": host + b"\r\n\n",
        "both": host + b"\n\r\n",
    }.items():
        yield Bad(14, f"line-feed-{name}", broken)
    # bad input 15
    for code in (*range(9), *range(10, 32), 127):
        # A bare line feed makes a line of its own here, which has no colon.
        yield Bad(15, f"value-{code:02x}", get(b"X: a" + bytes([code]) + b"b"))
        yield Bad(15, f"value-end-{code:02x}", get(b"X: a" + bytes([code])))
    for name, line in {
        "empty": b": b",
        "nothing": b":",
        "space": b"a b: c",
        "leading-space": b" a: b",
        "non-ascii": "é: b".encode(),
        "high": b"\xff: b",
        "nul": b"a\0: b",
        "parenthesis": b"a(b): c",
        "slash": b"a/b: c",
        "quote": b'"a": b',
        "at": b"@: b",
        "braces": b"{a}: b",
        "equals": b"a=b: c",
        "delete": b"a\x7f: b",
        "space-before-colon": b"a : b",
        "no-colon": b"abc",
        "no-colon-but-equals": b"a=b",
    }.items():
        yield Bad(15, f"name-{name}", get(line))
    # bad input 16
    for name, start in {
        "line-feed": b"GET /\nHTTP/1.1",
        "two-spaces": b"GET  /hit/bad HTTP/1.1",
        "two-spaces-behind": b"GET /hit/bad  HTTP/1.1",
        "tab": b"GET\t/hit/bad HTTP/1.1",
        "tab-behind": b"GET /hit/bad\tHTTP/1.1",
        "leading-space": b" GET /hit/bad HTTP/1.1",
        "trailing-space": b"GET /hit/bad HTTP/1.1 ",
        "carriage-return": b"GET /hit/bad\rHTTP/1.1",
        "vertical-tab": b"GET\x0b/hit/bad HTTP/1.1",
        "no-target": b"GET HTTP/1.1",
        "empty-target": b"GET  HTTP/1.1",
        "four-words": b"GET /hit/bad /b HTTP/1.1",
        "method-only": b"GET",
        "method-punctuation": b'G=":<>(e) /hit/bad HTTP/1.1',
        "method-braces": b"GE{T} /hit/bad HTTP/1.1",
        "method-non-ascii": "GÉT /hit/bad HTTP/1.1".encode(),
        "method-nul": b"GET\0 /hit/bad HTTP/1.1",
        "target-nul": b"GET /hit/b\0ad HTTP/1.1",
        "target-control": b"GET /hit/b\x1bad HTTP/1.1",
        "target-delete": b"GET /hit/b\x7fad HTTP/1.1",
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }.items():
        yield Bad(16, name, get(start=start))
    for name, start in {
        "target-exclamation": b"GET ! HTTP/1.1",
        "target-fragment": b"GET #frag HTTP/1.1",
        "path-fragment": b"GET /hit/bad#frag HTTP/1.1",
        "target-backslash": b"GET \\hit HTTP/1.1",
        "target-non-ascii": "GET /hit/é HTTP/1.1".encode(),
        "target-other-scheme": b"GET ftp://a/hit/bad HTTP/1.1",
        "asterisk-get": b"GET * HTTP/1.1",
        # bad input 36
        "target-at": b"GET @evil.example HTTP/1.1",
        "target-authority": b"GET a:80 HTTP/1.1",
    }.items():
        # The portable server leaves these to covet_http, whose 400 does not close.
        yield Bad(16, name, get(start=start))
    for name, version in {
        "1.10": b"HTTP/1.10",
        "long": b"HTTP/4294967295.255",
        "wraps": b"HTTP/4294967297.1",
        "0.9": b"HTTP/0.9",
        "2.0": b"HTTP/2.0",
        "2": b"HTTP/2",
        "1": b"HTTP/1",
        "1.": b"HTTP/1.",
        "lower-case": b"http/1.1",
        "other": b"HTTQ/1.1",
        "icy": b"ICY/1.1",
        "comma": b"HTTP/1,1",
        "letter": b"HTTP/1.1a",
        "signed": b"HTTP/+1.1",
        "no-slash": b"HTTP 1.1",
    }.items():
        yield Bad(16, f"version-{name}", get(start=b"GET /hit/bad " + version), 400, 505)
    yield Bad(16, "http-0.9", b"GET /hit/bad\r\n")
    yield Bad(16, "preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505)
    # bad input 20
    start = b"GET /hit/bad HTTP/1.1\r\n"
    yield Bad(20, "no-host", start + b"\r\n")
    yield Bad(20, "no-host-but-others", start + b"Accept: */*\r\n\r\n")
    yield Bad(20, "two-hosts", start + b"Host: a\r\nHost: b\r\n\r\n")
    yield Bad(20, "two-equal-hosts", start + b"Host: a\r\nHost: a\r\n\r\n")
    for name, host_value in {
        "empty": b"",
        "blank": b" \t",
        "comma": b"a,b",
        "semicolon": b"a;b",
        "percent": b"a%2fb",
        "no-port": b"a:",
        "user": b"u@h",
        "path": b"h/p",
        "query": b"h?q",
        "fragment": b"h#f",
        "space": b"a b",
        "backslash": b"a\\b",
        "port-letter": b"a:b",
        "port-long": b"a:1234567",
        "two-ports": b"a:1:2",
        "only-port": b":80",
        "bracket": b"[::1",
        "bracket-behind": b"::1]",
        "bracket-letters": b"[a.example]",
        "non-ascii": "é".encode(),
        "scheme": b"http://a",
    }.items():
        yield Bad(
            20, f"host-{name}", start + b"Host: " + host_value + b"\r\n\r\n",
        )  # fmt: skip
    yield Bad(20, "host-nul", start + b"Host: h\0.x\r\n\r\n")
    yield Bad(20, "host-delete", start + b"Host: h\x7f\r\n\r\n")
    yield Bad(
        20, "absolute-form-of-another", get(start=b"GET http://b/hit/bad HTTP/1.1"),
    )  # fmt: skip
    yield Bad(
        20, "absolute-form-with-user", get(start=b"GET http://u@a/hit/bad HTTP/1.1"),
    )  # fmt: skip
    # bad input 19
    yield Bad(
        19, "unknown-expectation", post(CL, b"Expect: the-unexpected"), 417,
    )  # fmt: skip
    # bad input 22
    yield Bad(22, "100000-fields", get(*(b"x%d: y" % n for n in range(100_000))), 431)
    yield Bad(22, "100000-equal-fields", get(*([b"x: y"] * 100_000)), 431)
    yield Bad(22, "100000-empty-fields", get(*([b"x:"] * 100_000)), 431)
    yield Bad(22, "megabyte-value", get(b"x: " + b"y" * (1 << 20)), 431)
    yield Bad(22, "megabyte-name", get(b"x" * (1 << 20) + b": y"), 431)
    yield Bad(22, "megabyte-of-spaces", get(b"x:" + b" " * (1 << 20)), 431)
    yield Bad(
        22, "megabyte-target", get(start=b"GET /hit/" + b"x" * (1 << 20) + b" HTTP/1.1"), 414, 431
    )
    yield Bad(
        22, "megabyte-method", get(start=b"G" * (1 << 20) + b" / HTTP/1.1"), 400, 414, 431, 501
    )
    yield Bad(22, "megabyte-line", b"x" * (1 << 20), 400, 414, 431, 501)
    yield Bad(22, "megabyte-of-nul", b"\0" * (1 << 20), 400, 431)
    yield Bad(22, "megabyte-of-carriage-returns", b"\r" * (1 << 20), 400, 431)
    yield Bad(
        22, "megabyte-of-empty-lines", b"\r\n" * (1 << 19), 400, 414, 431,
    )  # fmt: skip
    # bad input 24
    yield Bad(24, "regex", get(b"x: " + b"x" * 30_000 + b"\x10"))
    yield Bad(24, "regex-spaces", get(b"x: a" + b" " * 30_000 + b"\0"))
    yield Bad(24, "commas", post(b"Transfer-Encoding: " + b"," * 30_000), 400, 501)


CASES = [*lengths(), *codings(), *chunks(), *heads()]
ROWS = sorted({bad.row for bad in CASES})


def test_the_names_are_unique() -> None:
    assert len({(bad.row, bad.name) for bad in CASES}) == len(CASES)


@pytest.mark.parametrize("row", ROWS)
async def test_refused(server: str, row: int) -> None:
    # bad input 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 19, 20, 22, 24
    patient = {"keep_alive_timeout": 5, "read_timeout": 5}
    wrong = []
    async with serving(server, http=patient) as service, service.connect() as bystander:
        for bad in CASES:
            if bad.row != row:
                continue
            assert (await bystander.ask("/hit/before")).status == 200
            slow = 1 if len(bad.data) <= SMALL else PIECE
            for before, piece in ((b"", 0), (b"", slow), (GOOD, 0), (GOOD, slow)):
                Current.state.hits.clear()
                async with service.connect() as client:
                    got = await client.converse(before + bad.data + SECOND, piece)
                if problem := judged(bad, bool(before), client, got):
                    wrong.append((bad.name, piece, len(before), problem, got[:300]))
            assert (await bystander.ask("/hit/after")).body == b'"after"'
    assert wrong == []


def judged(bad: Bad, behind: bool, client: Client, got: bytes) -> str:
    """What is wrong with what came of it, or nothing."""
    if client.was_reset and len(bad.data) <= SMALL:
        return "the connection was reset"
    if b"Traceback" in got:
        return "a traceback"
    if Current.state.hits != ["good"] * behind:
        return f"calls: {Current.state.hits}"
    try:
        answers = read_answers(got)
    except WireError as error:
        return str(error)
    if [answer.status for answer in answers[:-1]] != [200] * behind:
        return "a wrong number of answers"
    if not answers or answers[-1].status not in bad.statuses:
        return f"not one of {bad.statuses}"
    if [answer.closes for answer in answers] != [False] * behind + [True]:
        return "it does not say that it closes"
    return ""


async def answered(client: Client, data: bytes, *methods: str, piece: int = 0) -> list[Any]:
    """What a connection is answered that sends this, which ends with `LAST`, or is refused."""
    return read_answers(await client.converse(data, piece), methods)


async def cut_off(client: Client, data: bytes, piece: int = 0) -> list[Any]:
    """What a connection is answered that sends this and then no more."""
    await client.offer(data, piece)
    client.finish()
    return read_answers(await client.until_closed())


async def test_the_same_bytes_without_a_fault_are_taken(server: str) -> None:
    """Otherwise everything above would be true of a server that refuses all."""
    good = [
        get(),
        post(CL),
        chunked(CHUNKED),
        post(b"Transfer-Encoding: Chunked", body=CHUNKED),
        post(b"Transfer-Encoding: \t chunked \t", body=CHUNKED),
        post(b"Content-Length:\t7 "),
        chunked(b'3;a=b;c="d e"\r\n{"n\r\n004\r\n":5}\r\n000\r\nX-Sum: 1\r\nY:\r\n\r\n'),
        get(b"X: \x80\xff", b"Y:", b"Z:  a\tb  ", b"!#$%&'*+.^_`|~0a: b"),
        get(start=b"GET http://a/hit/bad HTTP/1.1"),
        b"GET /hit/bad HTTP/1.1\r\nhOST:a.example:80\r\n\r\n",
        b"GET /hit/bad HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
    ]
    async with serving(server) as service:
        for data in good:
            for before, piece in ((b"", 0), (b"", 1), (GOOD, 0), (GOOD, 1)):
                async with service.connect() as client:
                    answers = await answered(client, before + data + LAST, piece=piece)
                statuses = [answer.status for answer in answers]
                assert statuses == [200] * (2 + bool(before)), (data, piece)
                assert answers[-1].body == b'"second"'


@pytest.mark.parametrize("piece", [0, 1])
async def test_a_chunked_body_that_is_cut_is_not_complete(server: str, piece: int) -> None:
    # bad input 12
    async with serving(server) as service:
        for cut in range(1, len(CHUNKED)):
            for before in (b"", GOOD):
                async with service.connect() as client:
                    answers = await cut_off(client, before + chunked(CHUNKED[:cut]), piece)
                statuses = [answer.status for answer in answers]
                assert statuses[: bool(before)] == [200] * bool(before)
                assert statuses[bool(before) :] in ([], [400])
                assert Current.state.hits == ["good"] * bool(before), cut
                Current.state.hits.clear()


@pytest.mark.parametrize("cut", [0, 1, len(JSON) - 1])
async def test_a_body_shorter_than_its_length_is_not_complete(server: str, cut: int) -> None:
    # bad input 12
    async with serving(server) as service:
        for before in (b"", GOOD):
            async with service.connect() as client:
                answers = await cut_off(client, before + post(CL, body=JSON[:cut]))
            statuses = [answer.status for answer in answers]
            assert statuses[: bool(before)] == [200] * bool(before)
            assert statuses[bool(before) :] in ([], [400])
            assert Current.state.hits == ["good"] * bool(before)
            Current.state.hits.clear()


async def test_trailers_are_not_headers(server: str) -> None:
    # bad input 13
    coded = b'7\r\n{"n":5}\r\n0\r\nX-Secret: 1\r\n\r\n'
    data = post(TE, body=coded, start=b"POST /seen HTTP/1.1")
    async with serving(server) as service:
        for piece in (0, 1):
            async with service.connect() as client:
                await client.offer(data, piece)
                fields = json.loads((await client.answer()).body)
                assert fields["host"] == "a"
                assert "x-secret" not in fields


@pytest.mark.parametrize("piece", [0, 1])
async def test_nothing_is_parsed_behind_a_broken_request(server: str, piece: int) -> None:
    # bad input 17
    broken = b"GET /hit/\x00 HTTP/1.1\r\nHost: a\r\n\r\n"
    slow = request("/slow/slow?ms=50")
    posted = request("/later-numbers", "POST", JSON)
    async with serving(server) as service:
        for data, expected, hits in (
            (broken + GOOD, [400], []),
            (GOOD + broken + GOOD, [200, 400], ["good"]),
            (slow + GOOD + broken + GOOD, [200, 200, 400], ["slow", "good"]),
            (posted + GOOD + broken + GOOD, [200, 200, 400], [5, "good"]),
            (GOOD * 50 + broken + GOOD * 50, [200] * 50 + [400], ["good"] * 50),
        ):
            Current.state.hits.clear()
            async with service.connect() as client:
                answers = read_answers(await client.converse(data, piece))
            assert [answer.status for answer in answers] == expected
            assert sorted(map(str, Current.state.hits)) == sorted(map(str, hits))


ADMIN = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = {
    "not-found": (b"POST /missing HTTP/1.1", 404),
    "not-allowed": (b"POST /admin HTTP/1.1", 405),
    "unauthenticated": (b"POST /guarded HTTP/1.1", 401),
    "bad-path": (b"POST /hit/%zz HTTP/1.1", 400),
    "get-with-body": (b"GET /hit/first HTTP/1.1", 200),
    "head-with-body": (b"HEAD /hit/first HTTP/1.1", 200),
    "options-with-body": (b"OPTIONS /hit/first HTTP/1.1", 204),
    "unknown-method": (b"BREW /hit/first HTTP/1.1", 405),
}


@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("case", REFUSED)
async def test_an_unread_body_is_never_a_request(server: str, case: str, coding: str) -> None:
    # bad input 18, 19
    start, status = REFUSED[case]
    body = ADMIN * 20
    if coding == "length":
        framing = b"Content-Length: %d" % len(body)
    else:
        framing, body = TE, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    data = post(framing, body=body, start=start)
    methods = [start.split()[0].decode(), "GET"]
    async with serving(server) as service:
        for piece in (0, 1):
            Current.state.hits.clear()
            async with service.connect() as client:
                answers = await answered(client, data + LAST, *methods, piece=piece)
            assert answers[0].status == status
            # It is drained, and the next request answered, or the connection is closed.
            assert [answer.body for answer in answers[1:]] == [b'"second"'] * (len(answers) - 1)
            assert len(answers) == 2 or answers[0].closes
            assert "admin" not in Current.state.hits


@pytest.mark.parametrize("server", ["engine"])
async def test_a_large_unread_body_is_bounded(server: str) -> None:
    # bad input 18: h11 has no way to say that it closes once the answer has begun
    data = post(b"Content-Length: 100000000", body=ADMIN * 1000, start=b"POST /missing HTTP/1.1")
    async with serving(server) as service, service.connect() as client:
        await client.offer(data)
        answers = read_answers(await client.converse(ADMIN * 10_000))
        assert [answer.status for answer in answers] == [404]
        assert answers[0].closes
        assert Current.state.hits == []


async def test_a_refusal_reaches_who_sends_first_and_reads_then(server: str) -> None:
    # bad input 17, 18: closing at once would reset the connection under the answer
    rest = b"x" * (900_000 if server == "engine" else 200_000)
    broken = b"GET / HTTP/1.1\r\n\r\n"
    unread = post(b"Content-Length: 100000000", body=b"", start=b"POST /missing HTTP/1.1")
    async with serving(server) as service:
        for data, status in ((broken, 400), (unread, 404)):
            async with service.connect() as client:
                await client.send(data)
                await anyio.sleep(0.01)
                await client.send(rest)
                answers = read_answers(await client.until_closed())
                assert [answer.status for answer in answers] == [status]
                assert not client.was_reset


@pytest.mark.parametrize(
    "fields",
    [
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
         b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        (b"Connection: upgrade", b"Upgrade: TLS/1.0"),
    ],
    ids=["h2c", "tls"],
)  # fmt: skip
async def test_a_refused_upgrade_keeps_the_framing(server: str, fields: tuple[bytes, ...]) -> None:
    # bad input 18, 34
    async with serving(server) as service:
        for piece in (0, 1):
            Current.state.hits.clear()
            async with service.connect() as client:
                plain = get(*fields, start=b"GET /hit/first HTTP/1.1")
                length = b"Content-Length: %d" % len(ADMIN)
                posted = post(*fields, length, body=ADMIN, start=b"POST /missing HTTP/1.1")
                answers = await answered(client, plain + posted + LAST, piece=piece)
            statuses = [answer.status for answer in answers]
            # Which body is drained, and which ends the connection, is the server's to say.
            assert statuses == [200, 404, 200][: len(statuses)]
            assert len(statuses) >= 2
            assert Current.state.hits == ["first", "second"][: len(statuses) - 1]


@pytest.mark.parametrize("path", [b"/hit/first", b"/missing"])
async def test_behind_a_refused_websocket_nothing_is_a_request(server: str, path: bytes) -> None:
    # bad input 18
    fields = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
              b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
    async with serving(server) as service:
        for piece in (0, 1):
            Current.state.hits.clear()
            async with service.connect() as client:
                asked = get(*fields, start=b"GET " + path + b" HTTP/1.1")
                answers = await answered(client, asked + ADMIN + LAST, piece=piece)
            assert [answer.status for answer in answers] == [404]
            assert Current.state.hits == []


EXPECT = b"Expect: 100-continue"


async def test_continue_is_said_once_and_only_if_the_body_is_wanted(server: str) -> None:
    # bad input 19
    async with serving(server) as service:
        async with service.connect() as client:
            await client.send(post(CL, EXPECT, body=b""))
            assert (await client.answer()).status == 100
            await client.offer(JSON, 1)
            assert (await client.answer()).body == b"5"
            await client.send(SECOND)
            assert (await client.answer()).body == b'"second"'
        for early in (JSON, JSON[:3]):
            # The body has begun: nobody waits to be told to go on, and nobody is told twice.
            async with service.connect() as client:
                await client.send(post(CL, EXPECT, body=early))
                if early != JSON:
                    await anyio.lowlevel.checkpoint()
                    await client.send(JSON[len(early) :])
                answers = await answered(client, LAST)
                statuses = [answer.status for answer in answers]
                assert statuses in ([200, 200], [100, 200, 200])


async def test_continue_is_not_said_over_http_1_0(server: str) -> None:
    # bad input 19
    data = post(CL, EXPECT, body=b"", start=b"POST /numbers HTTP/1.0")
    async with serving(server) as service, service.connect() as client:
        await client.send(data)
        with anyio.move_on_after(0.2) as patience:
            await client.receive()
        assert patience.cancelled_caught
        answers = read_answers(await client.converse(JSON))
        assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize("coding", [CL, TE])
async def test_continue_is_not_said_to_who_is_refused(server: str, coding: bytes) -> None:
    # bad input 18, 19: and whether the body comes nobody knows, so nothing is read behind the answer
    async with serving(server) as service:
        for start, status in (
            (b"POST /missing HTTP/1.1", 404),
            (b"POST /guarded HTTP/1.1", 401),
            (b"GET /hit/first HTTP/1.1", 200),
            (b"OPTIONS /hit/first HTTP/1.1", 204),
            (b"GET /count/2 HTTP/1.1", 200),
        ):
            async with service.connect() as client:
                await client.send(post(coding, EXPECT, body=b"", start=start))
                answer = await client.answer()
                assert answer.status == status
                # A stream may have begun before this can be known.
                assert answer.closes or answer.headers["transfer-encoding"] == "chunked"
                await client.offer(SECOND)
                assert await client.until_closed() == b""
        assert "second" not in Current.state.hits


async def test_continue_is_not_said_where_there_is_no_body(server: str) -> None:
    # bad input 19
    async with serving(server) as service, service.connect() as client:
        answers = await answered(
            client, get(EXPECT) + post(b"Content-Length: 0", EXPECT, body=b"") + LAST
        )
        assert [answer.status for answer in answers] == [200, 400, 200]


async def dribble(client: Client, data: bytes, every: float) -> None:
    try:
        for byte in data:
            await client.send(bytes([byte]))
            await anyio.sleep(every)
    except ConnectionError:
        pass


SLOW = {"keep_alive_timeout": 0.3, "read_timeout": 0.3, "write_timeout": 0.3}


BEGINNINGS = {
    "nothing": b"",
    "a-byte": b"G",
    "half-a-field": b"GET /hit/bad HTTP/1.1\r\nHo",
    "a-field": b"GET /hit/bad HTTP/1.1\r\nHost: a\r\n",
    "an-empty-line": b"\r\n",
    "a-request": GOOD,
    "a-request-and-half": GOOD + b"GET",
}


@pytest.mark.parametrize("case", BEGINNINGS)
async def test_a_head_that_does_not_end_is_given_up(server: str, case: str) -> None:
    # bad input 21
    begin = BEGINNINGS[case]
    if server == "hypercorn" and case == "an-empty-line":
        begin = b""  # h11 refuses it at once
    async with serving(server, http=SLOW) as service, service.connect() as client:
        await client.send(begin)
        answers = read_answers(await client.until_closed())
        assert [answer.status for answer in answers] in ([], [408], [200], [200, 408])
        assert (GOOD in begin) == (200 in [answer.status for answer in answers])


async def test_a_head_that_dribbles_is_given_up(server: str) -> None:
    # bad input 21: no byte of it comes late, the whole of it does
    data = get(*([b"X: y"] * 1000))
    async with serving(server, http=SLOW) as service:
        async with service.connect() as client, anyio.create_task_group() as tasks:
            tasks.start_soon(dribble, client, data, 0.02)
            answers = read_answers(await client.until_closed())
            tasks.cancel_scope.cancel()
        assert [answer.status for answer in answers] in ([], [408])
        assert Current.state.hits == []


@pytest.mark.parametrize("framing", [CL, TE])
async def test_a_body_that_pauses_is_given_up(server: str, framing: bytes) -> None:
    # bad input 21
    begun = b"7\r\n{" if framing == TE else b"{"
    async with serving(server, http=SLOW) as service, service.connect() as client:
        await client.send(post(framing, body=begun))
        answers = read_answers(await client.until_closed())
        assert [answer.status for answer in answers] in ([], [408], [400])
        assert Current.state.hits == []


async def test_a_body_that_dribbles_is_given_up(server: str) -> None:
    # bad input 21: no pause is too long, the whole is
    data = post(b"Content-Length: 1000", body=b" " * 1000)
    async with serving(server, http={"body_timeout": 0.3}) as service:
        async with service.connect() as client, anyio.create_task_group() as tasks:
            await client.send(data[:-1000])
            tasks.start_soon(dribble, client, data[-1000:], 0.02)
            answers = read_answers(await client.until_closed())
            tasks.cancel_scope.cancel()
        assert [answer.status for answer in answers] == [408]
        assert Current.state.hits == []


async def test_an_unread_body_that_dribbles_is_given_up(server: str) -> None:
    # bad input 18, 21: it was answered long ago, and is only passed over
    data = post(b"Content-Length: 2000", body=b" " * 2000, start=b"POST /missing HTTP/1.1")
    async with serving(server, http=SLOW) as service:
        async with service.connect() as client, anyio.create_task_group() as tasks:
            await client.send(data[:-2000])
            tasks.start_soon(dribble, client, data[-2000:], 0.02)
            answers = read_answers(await client.until_closed())
            tasks.cancel_scope.cancel()
        assert [answer.status for answer in answers] in ([404], [404, 408])


async def test_an_answer_that_is_not_read_is_given_up(server: str) -> None:
    # bad input 21: zero window
    async with serving(server, http=SLOW) as service:
        for target in ("/text/30000000", "/endless"):
            async with service.connect(buffer=4096) as client:
                await client.send(request(target))
                while not Current.state.hits:
                    await anyio.sleep(0.01)
                while await client.offer(b"G"):
                    await anyio.sleep(0.05)  # until the server has left
                data = await client.until_closed()
                # What lies in the system's buffers may still come.
                assert len(data) < 1 << 20
                assert not data.endswith(b"0\r\n\r\n")
            with anyio.fail_after(10):
                while target == "/endless" and Current.state.events != ["endless ended"]:
                    await anyio.sleep(0.01)
            Current.state.hits.clear()


async def test_slow_clients_leave_others_alone(server: str) -> None:
    # bad input 21
    async with serving(server, http={"keep_alive_timeout": 2}) as service:
        async with anyio.create_task_group() as tasks, service.connect() as bystander:

            async def slow(data: bytes) -> None:
                async with service.connect(buffer=4096) as client:
                    await dribble(client, data, 0.05)
                    await anyio.sleep_forever()

            for _ in range(100):
                tasks.start_soon(slow, GOOD)
                tasks.start_soon(slow, post(CL))
            for number in range(200):
                answer = await bystander.ask(f"/hit/{number}")
                assert answer.body == b'"%d"' % number
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("target", ["/hit/{}", "/later/{}", "/slow/{}?ms=1"])
async def test_pipelined_requests_without_reading_are_bounded(server: str, target: str) -> None:
    # bad input 23
    count = 10_000 if "slow" not in target and server == "engine" else 1000
    data = b"".join(request(target.format(number)) for number in range(count))
    async with serving(server) as service, service.connect(buffer=4096) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.offer, data)
            await anyio.sleep(0.3)
            async with service.connect() as bystander:
                assert (await bystander.ask("/hit/bystander")).body == b'"bystander"'
            for number in range(count):
                answer = await client.answer()
                assert answer.body == b'"%d"' % number


async def test_a_reset_while_the_handler_waits(server: str) -> None:
    # bad input 25: the handler then writes to nobody
    async with serving(server) as service:
        for target in ("/stubborn", "/finish", "/notify", "/wait"):
            state = Current.state
            state.started, state.release = anyio.Event(), anyio.Event()
            clients = []
            for _ in range(20):
                async with connected(service.port) as client:
                    await client.send(request(target))
                    while state.running < len(clients) + 1 and target != "/wait":
                        await anyio.sleep(0.001)
                    await state.started.wait()
                    client.reset()
                    clients.append(client)
            await anyio.sleep(0.01)
            state.release.set()
            with anyio.fail_after(10):
                while state.running:
                    await anyio.sleep(0.001)
            assert (await service.ask("/hit/alive")).status == 200


MALFORMED = [
    b"", b"{", b"[1,]", b"null", b'{"n":01}', b'{"n":NaN}', b'{"n":1e999}', b'{"n":"\xff"}', b'{"n":null}',
    b'{"n":' + b"9" * 10_000 + b"}", b"[" * 100_000, b'{"n":1}{', b'{"n":"\\ud800"}', b"\xef\xbb\xbf{}",
]  # fmt: skip


async def test_without_assertions(anyio_backend_name: str, server: str) -> None:
    # bad input 26, 41
    small = [bad for bad in CASES if len(bad.data) <= SMALL]
    async with process(server, anyio_backend_name, flags=["-O"]) as service:
        for bad in small:
            async with service.connect() as client:
                answers = read_answers(await client.converse(bad.data + SECOND))
                assert answers[0].status in bad.statuses, bad.name
                assert len(answers) == 1, bad.name
        for body in MALFORMED:
            async with service.connect() as client:
                status = (await client.ask("/numbers", "POST", body)).status
                assert status in (400, 422), body[:20]
        assert (await service.ask("/hit/alive")).status == 200
        assert "Traceback" not in service.output


BOUND = 12 << 20
"""Bytes that a flood may cost: one body as large as is allowed, in pieces, and some room."""
# Of the portable server each byte takes fifty times the time, and a chunk a thousand.
FLOOD = {"engine": 20_000_000, "hypercorn": 2_000_000}


def bombs(size: int) -> dict[str, bytes]:
    lines = b"".join(b"x%d: y\r\n" % number for number in range(size // 10))
    heavy = b"1;a=" + b"b" * 100_000 + b"\r\n \r\n"
    return {
        "fields": b"GET /hit/bad HTTP/1.1\r\nHost: a\r\n" + lines,
        "line": b"GET /" + b"x" * size,
        "trailers": chunked(b"0\r\n" + lines),
        "extension": chunked(b"1;a=" + b"b" * size),
        "extensions": chunked(heavy * (size // 100_000)),
        "empty-lines": b"\r\n" * (size // 2),
        "body": post(b"Content-Length: %d" % size, body=b" " * size),
        "chunks": chunked(b"1\r\n \r\n" * (size // 6)),
        "two-byte-chunks": chunked(b"2\r\n  \r\n" * (size // 7)),
        "missing-chunks": post(
            TE, body=b"1\r\n \r\n" * (size // 6), start=b"POST /missing HTTP/1.1"
        ),
        "pipelined": GOOD * (size // 50),
    }


async def flood(service: Process, data: bytes) -> None:
    """Send without reading an answer, as far as the server takes it."""
    client = await service.client()
    with anyio.move_on_after(1.0):
        await client.offer(data)
    client.close()


async def test_memory_is_bounded(anyio_backend_name: str, server: str) -> None:
    # bad input 11, 13, 18, 22, 23
    given = bombs(FLOOD[server])
    async with process(server, anyio_backend_name) as service:
        for data in given.values():
            await flood(service, data[:500_000])
        assert (await service.ask("/hit/warm")).status == 200
        for name, data in given.items():
            before = service.resident
            service.forget_peak()
            await flood(service, data)
            assert (await service.ask("/hit/alive")).status == 200
            assert service.peak - before < BOUND, name
        assert "Traceback" not in service.output


@pytest.mark.parametrize(
    "target",
    ["//evil.example/..", "//evil.example/%2e%2e", "/\\evil.example", "/%5cevil.example",
     "/hit/a/", "//hit/a", "/hit//a", "///evil.example", "/hit/..//evil.example",
     "/?next=https:evil.example", "/https:evil.example/", "/%0d%0aLocation:%20//evil.example"],
)  # fmt: skip
async def test_nobody_is_sent_elsewhere(server: str, target: str) -> None:
    # bad input 38
    async with serving(server) as service, service.connect() as client:
        await client.send(request(target))
        answer = await client.answer()
        assert answer.status in (400, 404, 307, 308)
        where = answer.headers.get("location")
        assert where is None or re.match(r"/(?![/\\])", where)
        assert b"evil" not in answer.body or answer.headers["content-type"].startswith(
            "application/"
        )
        assert Current.state.hits == []


FIELDS = [
    (b"x", b"a\r\nset-cookie: b=c"), (b"x", b"a\nb"), (b"x", b"a\rb"), (b"x", b"a\0b"),
    (b"x", b"a\r\n b"), (b"x", b"\x01"), (b"x", b"\x7f"), (b"x\r\ny", b"a"), (b"x y", b"a"), (b"", b"a"),
    (b"x:", b"a"), (b"\xe9", b"a"), (b"location", b"/a\r\n\r\n<script>"),
    (b"set-cookie", b"a=b\r\nset-cookie: c=d"), (b"set-cookie", b"a=b; path=/\n"),
    (b"set-cookie", b"a=b; domain=a\0"),
]  # fmt: skip
# What h11 lets pass.
LAX_FIELDS = {b"\x01", b"\x7f"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_line_end_in_an_answer_is_an_error(server: str, streamed: bool) -> None:
    # bad input 39
    wrong: list[tuple[bytes, bytes]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [*wrong, (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if streamed:
            await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await send({"type": "http.response.body", "body": b"k" if streamed else b"ok"})

    async with listening(server, application) as (_, port):
        for name, value in FIELDS:
            if server == "hypercorn" and value in LAX_FIELDS:
                continue
            wrong[:] = [(name, value)]
            async with connected(port) as client:
                await client.send(GOOD)
                answer = await client.answer()
                assert answer.status == 500, (name, value)
                known = {"connection", "content-length", "content-type", "date"}
                assert set(answer.headers) <= known
                assert b"script" not in answer.body
        wrong.clear()
        async with connected(port) as client:
            await client.send(GOOD)
            assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize(
    "status", [0, 99, 100, 101, 1000, -1, "200", "200 OK\r\nx: y", None, 1 << 40]
)
async def test_a_status_that_is_none_is_an_error(server: str, status: Any) -> None:
    # bad input 39: what stands in the status line
    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async with listening(server, application) as (_, port):
        for _ in range(2):
            async with connected(port) as client:
                await client.send(GOOD)
                client.finish()
                answers = read_answers(await client.until_closed())
                assert [answer.status for answer in answers] in ([500], [])


async def test_the_access_log_has_one_printable_line_a_request(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    # bad input 40
    caplog.set_level(logging.INFO, logger="covet.http.access")
    targets = [
        "/hit/%1b%5b31m%0d%0aforged", '/hit/"a"', "/hit/%22,%22status%22:200", "/hit/\\",
        "/hit/%E2%80%A8", "/hit/<script>", "/missing", "/hit/" + "x" * 5000,
    ]  # fmt: skip
    agents = [b"x \x9b31m", b"\xe2\x80\xa8", b'"', b"\\", b"\xff\xfe", b"a\tb"]
    async with serving(server, **{server: {"access_log": True}}) as service:
        for target in targets:
            async with service.connect() as client:
                for agent in agents:
                    await client.send(
                        f"GET {target} HTTP/1.1\r\nHost: a\r\n".encode()
                        + b"Authorization: Basic Zm9vDQo6YmFy\r\nUser-Agent: "
                        + agent + b"\r\n\r\n"
                    )  # fmt: skip
                    await client.answer()
    lines = [each.getMessage() for each in caplog.records if each.name == "covet.http.access"]
    entries = [json.loads(line) for line in lines]
    assert len(entries) == len(targets) * len(agents)
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert {entry["status"] for entry in entries} <= {200, 400, 404}
    assert entries[0]["client"] == "127.0.0.1"
    assert entries[0]["target"] == targets[0]


async def test_requests_that_are_refused_are_logged_safely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # bad input 40: the portable server logs what it has parsed
    caplog.set_level(logging.INFO, logger="covet.http.access")
    small = [bad for bad in CASES if len(bad.data) <= SMALL][::7]
    async with serving("engine", engine={"access_log": True}) as service:
        for bad in small:
            async with service.connect() as client:
                await client.converse(bad.data)
    lines = [each.getMessage() for each in caplog.records if each.name == "covet.http.access"]
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert all(isinstance(json.loads(line), dict) for line in lines)
