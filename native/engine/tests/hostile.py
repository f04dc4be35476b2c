"""Requests of which one or two things are odd, drawn by hypothesis, and a good request behind them.

All else about them is whole, so that a parser that lets the odd thing pass makes a request of it.
"""

from __future__ import annotations

from hypothesis import strategies as st

BEHIND = b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b"hello"

# By kind: what a good request has, and what others have.
_KINDS: dict[str, tuple[bytes, list[bytes]]] = {
    "start": (
        b"POST /a HTTP/1.1",
        [
            b"POST /a HTTP/1.0", b"POST /a HTTP/1.2", b"POST /a HTTP/2.0", b"POST /a HTTP/1.10", b"POST /a http/1.1",
            b"POST  /a HTTP/1.1", b"POST /a  HTTP/1.1", b"POST\t/a HTTP/1.1", b"POST /a HTTP/1.1 ", b" POST /a HTTP/1.1",
            b"POST a HTTP/1.1", b"POST @a HTTP/1.1", b"POST /a#b HTTP/1.1", b"POST * HTTP/1.1", b"POST /\x80 HTTP/1.1",
            b"POST http://a/a HTTP/1.1", b"POST http://b/a HTTP/1.1", b"P(ST /a HTTP/1.1", b"POST /a\0 HTTP/1.1",
        ],
    ),
    "host": (
        b"Host: a\r\n",
        [
            b"", b"Host: a\r\nHost: a\r\n", b"Host:\r\n", b"Host: a,b\r\n", b"Host: u@a\r\n", b"Host: a/b\r\n",
            b"Host : a\r\n", b"Host: a:\r\n", b"Host: a:80\r\n", b"Host: [::1]\r\n", b"Host: [::1\r\n", b"hOsT:\ta \r\n",
            b"Host: a\x80\r\n", b"Host: a%41\r\n", b"Host: a;b\r\n",
        ],
    ),
    "field": (
        b"X: y\r\n",
        [
            b"X : y\r\n", b" X: y\r\n", b"X: y\r\n z\r\n", b"X\r\n", b": y\r\n", b"X: y\0\r\n", b"X: \x01\r\n", b"X: y\x7f\r\n",
            b"X\x80: y\r\n", b"X: y\n", b"X: y\r", b"X: y\r\r\n", b"X: \ny\r\n", b"X:\r\n", b"X: \x80\xff\r\n", b"X(: y\r\n",
            b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Expect: tea\r\n", b"X: \ry\r\n", b"\tX: y\r\n",
        ],
    ),
    "length": (
        b"Content-Length: 5\r\n",
        [
            b"Content-Length: " + value + b"\r\n"
            for value in (
                b"+5", b"-5", b"05", b"5 ", b"5,", b",5", b"5, 5", b"5,5", b"0x5", b"5_", b"5.0", b"5\0", b"\x0b5", b"5\x0c",
                b'"5"', b"", b"5 5", b"\xa05", b"5;", b"5e0", b"00000000000000000005", b"18446744073709551621",
            )
        ]
        + [
            b"Content-Length : 5\r\n", b"Content-Length\t: 5\r\n", b" Content-Length: 5\r\n", b"Content-Length:5\r\n",
            b"Content-Length:\t5\t\r\n", b"Content-Length: 5\r\nContent-Length: 5\r\n", b"CONTENT-LENGTH: 5\n",
            b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            b"Content-Length:\r\n 5\r\n", b"Content_Length: 5\r\nContent-Length: 5\r\n",
        ],
    ),
    "coding": (
        b"Transfer-Encoding: chunked\r\n",
        [
            b"Transfer-Encoding: " + value + b"\r\n"
            for value in (
                b"Chunked", b"chunked, chunked", b"chunked,", b",chunked", b"identity", b"chunked, identity", b"xchunked",
                b"identity, chunked", b"gzip, chunked", b"chunked, gzip", b"chunked;q=1", b"\x0bchunked", b"chunked\x0c",
                b"chunked\0", b'"chunked"', b"chunke", b"\xa0chunked", b"", b"chun ked",
            )
        ]
        + [
            b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding\t: chunked\r\n", b" Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding:chunked\r\n", b"Transfer-Encoding:\tchunked\t\r\n", b"Transfer-Encoding:\r\n chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n",
        ],
    ),
    "head-end": (b"\r\n", [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"\0\r\n"]),
    "size": (
        b"5",
        [
            b"05", b"+5", b"-5", b"0x5", b" 5", b"5 ", b"\t5", b"5\t", b"5_", b"5\0", b"", b"00000000000000005", b"5;", b"5;a",
            b"5;a=b", b'5;a="b"', b'5;a="\\""', b'5;a="', b"5;a=", b"5;=b", b"5 ;a", b"5; a", b"5;a =b", b"5;a;b=c", b'5;a="b"c',
            b"5;\x01", b"5;a\0", b"5,", b"10000000000000005", b"g",
        ],
    ),
    "size-end": (b"\r\n", [b"\n", b"\r", b"\r\r\n", b"\n\n", b";\nx\r\n", b"\rX", b" \r\n"]),
    "data-end": (b"\r\n", [b"\n", b"\r", b"\n\n", b"\n\r", b"XX", b"\rX", b"X\n", b"", b"X\r\n", b"\r\r\n"]),
    "last": (b"0\r\n", [b"00\r\n", b"0;a\r\n", b"-0\r\n", b"0 \r\n", b"0\n", b"0\r", b"0x0\r\n", b"\r\n", b"0\rX", b"0;\r\n"]),
    "end": (
        b"\r\n",
        [
            b"X: y\r\n\r\n", b"X:\r\nY: z\r\n\r\n", b"Host: b\r\n\r\n", b"Content-Length: 5\r\n\r\n", b"X : y\r\n\r\n", b"X\r\n\r\n",
            b" X: y\r\n\r\n", b"X: y\n\r\n", b"X: y\0\r\n\r\n", b"\n", b"\r", b"\r\r\n", b"XX\r\n", b"X: y\r\n\n", b"If-X: y\r\n\r\n",
        ],
    ),
}  # fmt: skip
_OF_LENGTH = ("start", "host", "field", "length", "head-end")
_OF_CHUNKS = (
    "start", "host", "field", "coding", "head-end", "size", "size-end", "data-end", "last", "end",
)  # fmt: skip


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """The bytes of one connection."""
    kinds = draw(st.sampled_from([_OF_LENGTH, _OF_CHUNKS]))
    odd = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=2, unique=True))
    parts = {
        kind: draw(st.sampled_from(_KINDS[kind][1])) if kind in odd else _KINDS[kind][0]
        for kind in kinds
    }
    head = parts["start"] + b"\r\n" + parts["host"] + parts["field"]
    if kinds is _OF_LENGTH:
        data = head + parts["length"] + parts["head-end"] + BODY
    else:
        data = head + parts["coding"] + parts["head-end"]
        data += parts["size"] + parts["size-end"] + BODY + parts["data-end"]
        data += parts["last"] + parts["end"]
    return data + BEHIND
