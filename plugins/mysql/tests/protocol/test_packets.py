"""Messages survive whatever way their bytes are cut, and nothing grows without a limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_mysql._protocol import _packets
from covet_mysql._protocol._fields import length_of, number, sized, string, terminated
from covet_mysql._protocol._packets import Packets, ProtocolError, framed


def read_all(reader: Packets, data: bytes, cuts: list[int]) -> list[bytes]:
    """Every message, the data coming in pieces."""
    got, at = [], 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        reader.feed(data[at:cut])
        at = cut
        while (packet := reader.next()) is not None:
            got.append(packet)
    return got


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_messages_come_out_as_they_went_in(messages: list[bytes], cuts: list[int]) -> None:
    data = b"".join(framed(each, place) for place, each in enumerate(messages))
    reader = Packets(100)
    assert read_all(reader, data, cuts) == messages
    assert reader.empty


@pytest.mark.parametrize("extra", [-1, 0, 1, 5])
def test_long_messages_are_several_packets(extra: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packets, "WHOLE", 50)
    message = bytes(range(100 + extra))
    data = framed(message, 3)
    assert len(data) == len(message) + 4 * (2 if extra < 0 else 3)
    for cuts in ([], list(range(len(data)))):
        reader = Packets(200)
        reader.sequence = 3
        assert read_all(reader, data, cuts) == [message]
        assert reader.empty
    short = Packets(len(message) - 1)
    short.sequence = 3
    with pytest.raises(ProtocolError, match="more than"):
        read_all(short, data, [])


def test_a_length_is_refused_before_anything_of_it_is_kept() -> None:
    reader = Packets(1000)
    reader.feed(b"\xff\xff\xff\x00")
    with pytest.raises(ProtocolError):
        reader.next()


def test_packets_out_of_order_are_refused() -> None:
    reader = Packets(1000)
    reader.feed(framed(b"a", 0) + framed(b"b", 2))
    assert reader.next() == b"a"
    with pytest.raises(ProtocolError, match="order"):
        reader.next()


@given(st.integers(0, 2**64 - 1), st.binary(max_size=5))
def test_lengths_are_read_as_they_are_written(value: int, behind: bytes) -> None:
    data = length_of(value)
    assert number(data + behind, 0) == (value, len(data))
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            number(data[:end], 0)


@given(st.binary(max_size=600), st.binary(max_size=5))
def test_strings_are_read_as_they_are_written(value: bytes, behind: bytes) -> None:
    data = sized(value)
    assert string(data + behind, 0) == (value, len(data))
    with pytest.raises(ProtocolError):
        string(data[:-1], 0)


def test_the_marks_of_null_and_of_errors_are_no_lengths() -> None:
    for first in (0xFB, 0xFF):
        with pytest.raises(ProtocolError):
            number(bytes((first,)) + bytes(20), 0)


def test_texts_end_at_a_nul() -> None:
    assert terminated(b"ab\0c", 0) == (b"ab", 3)
    assert terminated(b"ab", 0) == (b"ab", 2)
    assert terminated(b"ab", 2) == (b"", 2)
