"""The parts that do no I/O: frames, headers and budgets, against anything."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pylsqpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_hypercorn import _h3_frames as frames
from covet_hypercorn._budget import Budget, FloodError
from covet_hypercorn._endpoint import _read_ids
from covet_hypercorn._fields import answer_fields, read_request, sent_fields
from covet_hypercorn._h3_frames import ControlFrames, Http3Error, RequestFrames, TooLargeError
from covet_hypercorn._qpack import FieldsTooLargeError, Qpack, QpackError, count_fields


@given(st.integers(0, (1 << 62) - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_numbers_are_read_as_they_are_written(value: int, before: bytes, behind: bytes) -> None:
    data = before + frames.varint(value) + behind
    assert frames.read_varint(data, len(before)) == (value, len(data) - len(behind))
    for end in range(len(frames.varint(value))):
        assert frames.read_varint(frames.varint(value)[:end], 0) is None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces."""
    ends = sorted({min(each, len(data)) for each in places} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


bodies = st.lists(
    st.one_of(
        st.tuples(st.just(frames.DATA), st.binary(max_size=100)),
        st.tuples(st.just(0x21), st.binary(max_size=50)),
    ),
    max_size=8,
)


@given(st.binary(max_size=80), bodies, st.booleans(), st.lists(st.integers(0, 1200), max_size=20))
def test_frames_are_the_same_however_they_come(
    head: bytes, body: list[tuple[int, bytes]], trailers: bool, places: list[int]
) -> None:
    data = frames.frame(frames.HEADERS, head)
    data += b"".join(frames.frame(kind, payload) for kind, payload in body)
    if trailers:
        data += frames.frame(frames.HEADERS, b"trailers")
    nothing = []
    reader = RequestFrames(100, lambda: nothing.append(1))
    found = [each for piece in cut(data, places) for each in reader.feed(piece)]
    assert reader.is_between
    blocks = [payload for kind, payload in found if kind == frames.HEADERS]
    assert blocks == [head, *([b"trailers"] if trailers else [])]
    whole = b"".join(payload for kind, payload in body if kind == frames.DATA)
    assert b"".join(payload for kind, payload in found if kind == frames.DATA) == whole
    assert len(nothing) == sum(kind != frames.DATA or not payload for kind, payload in body)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_whatever_comes_is_frames_or_an_error(pieces: list[bytes]) -> None:
    for reader in (RequestFrames(100, lambda: None), ControlFrames(lambda: None)):
        try:
            for piece in pieces:
                found: Any = reader.feed(piece) or ()
                for kind, payload in found:
                    assert kind in (frames.HEADERS, frames.DATA)
                    assert len(payload) <= 200 or kind == frames.HEADERS
        except (Http3Error, TooLargeError):
            pass
        # A block of headers at most is kept.
        assert len(reader._kept) <= 4096


@given(
    st.dictionaries(st.integers(6, 1 << 60), st.integers(0, 1 << 60), max_size=20),
    st.lists(st.integers(0, 600), max_size=20),
)
def test_settings_are_read_as_they_are_written(values: dict[int, int], places: list[int]) -> None:
    reader = ControlFrames(lambda: None)
    for piece in cut(frames.settings(values), places):
        reader.feed(piece)
    assert reader.settings == values


names = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20).map(str.encode)
fields = st.lists(
    st.tuples(
        st.one_of(names, st.sampled_from([b":path", b":method", b"accept", b"cookie"])),
        st.binary(max_size=60),
    ),
    max_size=30,
)


@given(fields)
def test_headers_are_unpacked_as_they_were_packed(given: list[tuple[bytes, bytes]]) -> None:
    qpack = Qpack(1 << 20)
    block = qpack.pack(0, given)
    assert count_fields(block) == len(given)
    assert list(qpack.unpack(4, block)) == given


@given(fields, st.integers(0, 3000))
def test_the_limit_of_headers_is_what_they_unpack_to(
    given: list[tuple[bytes, bytes]], limit: int
) -> None:
    block = Qpack(0).pack(0, given)
    size = sum(len(name) + len(value) + 32 for name, value in given)
    if size > limit:
        with pytest.raises(FieldsTooLargeError):
            Qpack(limit).unpack(0, block)
    else:
        assert list(Qpack(limit).unpack(0, block)) == given


@given(st.binary(max_size=300))
def test_any_block_is_unpacked_or_refused(block: bytes) -> None:
    try:
        found = Qpack(4096).unpack(0, block)
    except (QpackError, FieldsTooLargeError):
        return
    assert count_fields(block) == len(found)


def test_a_block_with_a_table_is_refused() -> None:
    encoder = pylsqpack.Encoder()
    encoder.apply_settings(4096, 16)
    given = [(b"x-a", b"b" * 50)]
    for _ in range(3):
        _, block = encoder.encode(0, given)
    with pytest.raises(QpackError):
        count_fields(block)


@given(st.binary(max_size=100))
def test_what_is_said_of_tables_is_understood_or_refused(data: bytes) -> None:
    for take in (Qpack(0).take_encoder, Qpack(0).take_decoder):
        with suppress(QpackError):
            take(data)


@given(fields)
def test_a_request_that_is_read_can_be_written_as_http1(given: list[tuple[bytes, bytes]]) -> None:
    request = [
        (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/"),
        *given,
    ]  # fmt: skip
    found = read_request(request)
    if found is None:
        return
    _, headers = found
    lines = [name + b": " + value for name, value in headers]
    assert all(b"\r" not in each and b"\n" not in each and b"\0" not in each for each in lines)
    assert sum(name == b"cookie" for name, _ in headers) <= 1


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=5))
def test_an_answer_is_written_whole_or_not_at_all(given: list[tuple[bytes, bytes]]) -> None:
    try:
        found = answer_fields(200, given)
    except ValueError:
        with pytest.raises(ValueError):
            sent_fields(given)
        return
    assert found[0] == (b":status", b"200")
    for name, value in found[1:]:
        assert name == name.lower()
        assert not set(name + value) & set(b"\r\n\0")


def test_a_budget_is_refilled_and_never_more_than_full() -> None:
    budget = Budget(3, 2.0, 0.0)
    for _ in range(3):
        budget.spend("x", 0.0)
    with pytest.raises(FloodError, match="x"):
        budget.spend("x", 0.0)
    budget.spend("x", 1.1)
    budget.earn(100.0)
    for _ in range(3):
        budget.spend("x", 1.1)
    with pytest.raises(FloodError):
        budget.spend("x", 1.1)


@given(st.binary(max_size=60))
def test_ids_of_any_datagram(data: bytes) -> None:
    found = _read_ids(data)
    if found is None:
        return
    if found.version is None:
        assert found.destination == data[1:9]
        return
    ids: Any = (found.destination, found.source)
    assert all(len(each) <= 20 for each in ids)
    assert data[5] == len(found.destination)
    assert data[6 + data[5]] == len(found.source)
