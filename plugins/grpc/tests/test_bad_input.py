"""Requests that are no calls, and calls that lie."""

from __future__ import annotations

import gzip
from struct import pack
from urllib.parse import quote

import grpc
import pytest
from grpc_served import Served
from raw_client import exchange, frame, post

GET = "/library.v1.Books/GetBook"
ECHO = "/library.v1.Books/Echo"


def status(served: Served, path: str, *pieces: bytes, **headers: bytes) -> tuple[int, bytes]:
    """The code and the message of a call whose body is this."""
    lines = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    answered = exchange(served.port, path, pieces, lines)
    assert answered[b":status"] == b"200"
    assert answered[b"content-type"] == b"application/grpc"
    return int(answered[b"grpc-status"]), answered.get(b"grpc-message", b"")


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([], 12),
        ([frame(b"") * 2], 12),
        ([b"\0"], 3),
        ([pack(">BI", 0, 5) + b"abc"], 3),
        ([frame(b"\xff\xff")], 3),
        ([frame(b"\x0b" * 10_000)], 3),
        ([frame(b"\x12\x02\xff\xfe")], 3),
        ([frame(b"", flag=9)], 3),
        ([frame(gzip.compress(b""), flag=1)], 13),
        ([pack(">BI", 0, 0xFFFFFFFF)], 8),
        ([pack(">BI", 0, 4 * 1024 * 1024 + 1)], 8),
    ],
    ids=["none", "two", "cut prefix", "cut message", "no message", "deep groups", "bad UTF-8",
         "bad flag", "compressed without encoding", "4 GiB", "over the limit"],
)  # fmt: skip
def test_a_body_that_lies_is_refused(served: Served, pieces: list[bytes], code: int) -> None:
    # bad input 63
    assert status(served, ECHO, *pieces)[0] == code


def test_messages_nested_too_deep_are_refused(served: Served) -> None:
    # bad input 63
    fields = {
        each.name: each.number for each in served.messages("library.v1.Book").DESCRIPTOR.fields
    }
    message = b""
    for _ in range(200):
        # `notes` holds values by name, which may be structures again.
        value = b"\x2a" + varint(len(message)) + message
        entry = b"\x0a\x01k\x12" + varint(len(value)) + value
        message = b"\x0a" + varint(len(entry)) + entry
    notes = varint(fields["notes"] << 3 | 2) + varint(len(message)) + message
    assert status(served, ECHO, *cut(frame(b"\x08\x01\x12\x01x" + notes)))[0] == 3


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def cut(data: bytes) -> list[bytes]:
    return [data[at : at + 16_000] for at in range(0, len(data), 16_000)]


def test_a_compressed_bomb_is_refused(served: Served) -> None:
    # bad input 63
    bomb = gzip.compress(b"\0" * 20_000_000)
    assert status(served, ECHO, *cut(frame(bomb, flag=1)), grpc_encoding=b"gzip")[0] == 8


def test_an_encoding_that_is_not_known_is_named(served: Served) -> None:
    answered = exchange(served.port, GET, [frame(b"")], [(b"grpc-encoding", b"br")])
    assert answered[b"grpc-status"] == b"12"
    assert answered[b"grpc-accept-encoding"] == b"identity,gzip,deflate"


@pytest.mark.parametrize("timeout", [b"", b"5", b"5s", b"-1S", b"123456789S"])
def test_a_malformed_timeout_is_refused(served: Served, timeout: bytes) -> None:
    assert status(served, GET, frame(b"\x08\x01"), grpc_timeout=timeout)[0] == 3


@pytest.mark.parametrize("name", ["x" * 5000, "%0d%0aevil", "\u00e9", "a/b", ""])
def test_names_of_methods_are_not_passed_on(served: Served, name: str) -> None:
    code, message = status(served, f"/library.v1.Books/{quote(name, safe='%/')}", frame(b""))
    assert code == 12
    assert len(message) < 200


@pytest.mark.parametrize("content_type", [b"application/json", b"application/grpcx", b"text/plain"])
def test_what_is_no_grpc_is_refused_as_http(served: Served, content_type: bytes) -> None:
    assert exchange(served.port, GET, [b"{}"], content_type=content_type)[b":status"] == b"415"


def test_other_methods_than_post_are_refused(served: Served) -> None:
    for method in (b"GET", b"PUT", b"OPTIONS"):
        answered = exchange(served.port, GET, [], method=method)
        assert answered[b":status"] == b"405"
        assert answered[b"allow"] == b"POST"


def test_grpc_itself_takes_http2(served: Served) -> None:
    headers = {"content-type": "application/grpc"}
    assert post(served.port, GET, frame(b"\x08\x01"), headers)[0] == 505


def test_megabytes_of_metadata_are_refused(served: Served) -> None:
    # bad input 63
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        get, request = served.stub(channel, "GetBook"), served.make("GetBookRequest", id=1)
        with pytest.raises(grpc.RpcError):
            get(request, metadata=[("x-much", "y" * 1_000_000)])
        assert get(request, wait_for_ready=True, timeout=30).title == "Emma"
