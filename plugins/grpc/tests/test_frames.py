"""Framing: any split gives the same messages, and what is wrong is refused before it is kept."""

from __future__ import annotations

import gzip
import zlib
from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_grpc._compression import COMPRESS, DECOMPRESS, accepts
from covet_grpc._forms import FORMS, Base64
from covet_grpc._frames import Frames, framed, framed_compressed
from covet_operations import Internal, Invalid, OperationError, TooLarge

LIMIT = 1000
MESSAGES = st.lists(st.binary(max_size=80), max_size=6)

pytestmark = pytest.mark.once


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data, cut at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[at:end] for at, end in pairwise(places)]


def read(frames: Frames, parts: list[bytes]) -> list[bytes]:
    found = []
    for part in parts:
        frames.feed(part)
        while (message := frames.pop()) is not None:
            found.append(message)
    return found


@given(MESSAGES, st.lists(st.integers(0, 1 << 16), max_size=12))
def test_any_split_gives_the_same_messages(messages: list[bytes], cuts: list[int]) -> None:
    frames = Frames(LIMIT)
    assert read(frames, pieces(b"".join(map(framed, messages)), cuts)) == messages
    assert not frames.incomplete


@given(MESSAGES, st.binary(min_size=1, max_size=40), st.lists(st.integers(0, 1 << 16), max_size=8))
def test_what_is_cut_off_is_never_a_message(
    messages: list[bytes], last: bytes, cuts: list[int]
) -> None:
    data = b"".join(map(framed, [*messages, last]))
    frames = Frames(LIMIT)
    assert read(frames, pieces(data[:-1], cuts)) == messages
    assert frames.incomplete


@given(st.binary(max_size=200), st.lists(st.integers(0, 1 << 16), max_size=8))
def test_any_bytes_are_read_or_refused(data: bytes, cuts: list[int]) -> None:
    def outcome(parts: list[bytes]) -> tuple[list[bytes], type | None]:
        frames, found = Frames(LIMIT, DECOMPRESS[b"gzip"]), []
        try:
            for part in parts:
                frames.feed(part)
                while (message := frames.pop()) is not None:
                    found.append(message)
        except OperationError as error:
            return found, type(error)
        return found, None

    assert outcome(pieces(data, cuts)) == outcome([data])


@pytest.mark.parametrize("length", [LIMIT + 1, (1 << 32) - 1])
def test_a_length_that_is_too_long_is_refused_at_once(length: int) -> None:
    # bad input 63
    frames = Frames(LIMIT)
    frames.feed(pack(">BI", 0, length))
    with pytest.raises(TooLarge):
        frames.pop()


@pytest.mark.parametrize("flag", [2, 0x80, 0x81, 255])
def test_a_flag_that_does_not_exist_is_refused(flag: int) -> None:
    with pytest.raises(Invalid):
        read(Frames(LIMIT), [pack(">BI", flag, 0)])


def test_a_compressed_message_without_an_encoding_is_refused() -> None:
    with pytest.raises(Internal):
        read(Frames(LIMIT), [framed_compressed(gzip.compress(b"x"))])


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
class TestCompression:
    def test_messages_come_back(self, encoding: bytes) -> None:
        frames = Frames(LIMIT, DECOMPRESS[encoding])
        data = framed_compressed(COMPRESS[encoding](b"a" * LIMIT)) + framed(b"plain")
        assert read(frames, [data]) == [b"a" * LIMIT, b"plain"]

    def test_a_bomb_is_not_unpacked(self, encoding: bytes) -> None:
        # bad input 43, bad input 63
        bomb = COMPRESS[encoding](b"\0" * 10_000_000)
        with pytest.raises(TooLarge):
            read(Frames(1 << 16, DECOMPRESS[encoding]), [framed_compressed(bomb)])

    def test_a_message_is_unpacked_when_it_is_asked_for(self, encoding: bytes) -> None:
        # bad input 43, bad input 63: what one read holds may unpack to a thousand times its size
        unpacked = []

        def decompress(data: bytes, limit: int) -> bytes:
            unpacked.append(len(data))
            return DECOMPRESS[encoding](data, limit)

        frames = Frames(LIMIT, decompress)
        frames.feed(framed_compressed(COMPRESS[encoding](b"\0" * LIMIT)) * 50)
        for count in range(1, 51):
            assert frames.pop() == b"\0" * LIMIT
            assert len(unpacked) == count
        assert frames.pop() is None

    @pytest.mark.parametrize(
        "damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"?"]
    )
    def test_what_is_damaged_is_refused(self, encoding: bytes, damage: object) -> None:
        assert callable(damage)
        with pytest.raises(Invalid):
            DECOMPRESS[encoding](damage(COMPRESS[encoding](b"hello")), LIMIT)


def test_an_encoding_is_accepted_by_name() -> None:
    assert accepts(b"identity, gzip", b"gzip")
    assert not accepts(b"identity,gzipped", b"gzip")
    assert not accepts(None, b"gzip")
    assert COMPRESS[b"deflate"](b"x")[:1] == zlib.compress(b"x")[:1]


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(0, 1 << 16), max_size=8))
def test_base64_is_read_however_it_was_padded_and_split(
    parts: list[bytes], cuts: list[int]
) -> None:
    form = FORMS[b"application/grpc-web-text"]
    text = b"".join(form.written(part) for part in parts)
    reader = Base64()
    assert b"".join(reader(piece) for piece in pieces(text, cuts)) == b"".join(parts)
    assert not reader.incomplete


@pytest.mark.parametrize("text", [b"????", b"a===", b"ab=c", b"====", b"ab\ncd=="])
def test_what_is_no_base64_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid):
        Base64()(text)
