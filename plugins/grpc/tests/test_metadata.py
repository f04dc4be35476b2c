"""Metadata in both directions, text and bytes, and what of it is refused."""

from __future__ import annotations

from urllib.parse import unquote

import grpc
import pytest
from grpc_served import Served
from hypothesis import given
from hypothesis import strategies as st

from covet_grpc._metadata import bytes_of, metadata_line, percent_encoded
from covet_grpc._timeout import seconds_of


def test_metadata_go_both_ways(served: Served, channel: grpc.Channel) -> None:
    sent = [
        ("x-text", "hello"),
        ("x-data-bin", b"\0\1"),
        ("x-data-bin", b"\xff"),
        ("x-text", "you"),
    ]
    answer, call = served.stub(channel, "Tell").with_call(
        served.messages("google.protobuf.Empty")(), metadata=sent
    )
    assert answer.value == "hello,you 0001,ff"
    leading, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert leading["x-leading"] == "first"
    assert leading["x-leading-bin"] == b"\0\xff"
    assert trailing["x-trailing-bin"] == b"last"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Upper", "a"), ("x y", "a"), ("", "a"), ("x", "a\r\nb: c"), ("x", "a\0"), ("x", " a"),
        ("x", "ü"), ("x", b"bytes"), ("x-bin", "text"), ("grpc-status", "0"), ("content-type", "a"),
        (":path", "/"), ("te", "trailers"), ("connection", "close"),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_sent_are_refused(name: str, value: str | bytes) -> None:
    # bad input 39
    with pytest.raises(ValueError, match="metadata"):
        metadata_line(name, value)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_bytes_come_back_joined_or_not(values: list[bytes]) -> None:
    lines = [metadata_line("x-bin", each)[1] for each in values]
    assert bytes_of("x-bin", b",".join(lines)) == values
    assert [bytes_of("x-bin", each) for each in lines] == [[each] for each in values]


@given(st.text())
def test_messages_are_printable_and_can_be_read_again(text: str) -> None:
    line = percent_encoded(text)
    assert all(0x20 <= byte < 0x7F for byte in line)
    assert unquote(line.decode(), errors="replace") == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600.0), (b"2M", 120.0), (b"3S", 3.0), (b"4m", 0.004), (b"5u", 5e-6), (b"6n", 6e-9),
        (b"99999999S", 99999999.0), (b"0m", 0.0),
        (b"", None), (b"S", None), (b"1", None), (b"1s", None), (b"-1S", None), (b"1.5S", None),
        (b"999999999S", None), (b" 1S", None), (b"1S ", None), (b"1S\n", None), ("١S".encode(), None),
    ],
)  # fmt: skip
def test_timeouts(value: bytes, seconds: float | None) -> None:
    assert seconds_of(value) == (seconds if seconds is None else pytest.approx(seconds))
