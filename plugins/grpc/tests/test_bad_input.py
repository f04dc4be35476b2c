"""Requests that are no calls, and calls that lie."""

from __future__ import annotations

import gzip
import math
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


def sized(data: bytes) -> bytes:
    return varint(len(data)) + data


@pytest.mark.parametrize(
    ("name", "wire", "value"),
    [
        ("notes", 2, sized(b"\x0a" + sized(b"\x0a\x01k\x12" + sized(b"\x11" + pack("<d", math.nan))))),
        ("notes", 2, sized(b"\x0a" + sized(b"\x0a\x01k\x12" + sized(b"\x11" + pack("<d", math.inf))))),
        ("notes", 2, sized(b"\x0a" + sized(b"\x0a\x02\xff\xfe\x12\x00"))),
        ("added", 2, sized(b"\x08" + varint(1 << 62))),
        ("added", 2, sized(b"\x08" + varint((1 << 64) - (1 << 50)))),
        ("lent_for", 2, sized(b"\x08" + varint(1 << 62))),
        ("genre", 0, varint(99)),
        ("key", 2, sized(b"no key")),
        ("price", 2, sized(b"NaN")),
        ("ratings", 2, sized(b"\0" * 7)),
        ("id", 0, b"\xff" * 11),
    ],
    ids=["no number", "infinity", "name in bad UTF-8", "time without a year", "time before all years",
         "endless duration", "no such name", "no UUID", "no price", "cut number", "long number"],
)  # fmt: skip
def test_values_that_no_type_holds_are_refused(
    served: Served, name: str, wire: int, value: bytes
) -> None:
    # bad input 63
    numbers = {
        each.name: each.number for each in served.messages("library.v1.Book").DESCRIPTOR.fields
    }
    book = b"\x08\x01\x12\x01x" + varint(numbers[name] << 3 | wire) + value
    code, message = status(served, ECHO, frame(book))
    assert code == 3
    assert len(message) < 200


def test_what_a_caller_says_of_the_answer_is_not_repeated(served: Served) -> None:
    # bad input 63
    said = [
        (b"grpc-status", b"0"), (b"grpc-message", b"fine"), (b"grpc-status-details-bin", b"AAAA"),
        (b"x-leading", b"mine"), (b"x-trailing-bin", b"AAAA"), (b"trailer", b"grpc-status"),
    ]  # fmt: skip
    for path, code in ((GET, b"5"), ("/library.v1.Books/Tell", b"0")):
        body = frame(b"\x08\x7f") if path == GET else frame(b"")
        lines = exchange(served.port, path, [body], said).lines
        assert [value for name, value in lines if name == b"grpc-status"] == [code]
        assert not {(b"grpc-message", b"fine"), (b"x-leading", b"mine")} & set(lines)
        assert b"AAAA" not in [value for _, value in lines]


@pytest.mark.parametrize("value", [b"!!!", b"A", b"====", b"AAAA,?"])
def test_metadata_that_are_no_base64_are_refused(served: Served, value: bytes) -> None:
    assert status(served, "/library.v1.Books/Tell", frame(b""), x_data_bin=value)[0] == 3


def test_a_stream_of_bombs_is_refused_at_its_first(served: Served) -> None:
    # bad input 43, bad input 63
    bomb = gzip.compress(b"\0" * (4 * 1024 * 1024 + 1))
    good = gzip.compress(b"\x08\x01\x12\x01x")
    pieces = cut(frame(good, flag=1) + frame(bomb, flag=1) * 10)
    assert status(served, "/library.v1.Books/Import", *pieces, grpc_encoding=b"gzip")[0] == 8


def test_what_is_compressed_twice_is_unpacked_once(served: Served) -> None:
    # bad input 43, bad input 63
    twice = gzip.compress(gzip.compress(b"\0" * 1_000_000))
    assert status(served, ECHO, frame(twice, flag=1), grpc_encoding=b"gzip")[0] == 3
    assert status(served, ECHO, frame(twice, flag=1), grpc_encoding=b"identity")[0] == 13


def test_lengths_that_lie_about_what_follows(served: Served) -> None:
    # bad input 63: the second message is what the first has left over
    book = b"\x08\x01\x12\x01x"
    for length in (len(book) - 1, len(book) + 1, 0, 1):
        answered = exchange(served.port, ECHO, [pack(">BI", 0, length) + book + frame(book)])
        assert answered[b"grpc-status"] in (b"3", b"8", b"12")


def test_a_websocket_is_no_call(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    # bad input 34, bad input 58
    status, _, body = post(
        served.port, GET, b"",
        {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
         "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="},
        "GET",
    )  # fmt: skip
    assert status in (403, 404, 405)
    assert b"Traceback" not in body
    assert not [each for each in caplog.records if each.exc_info]
