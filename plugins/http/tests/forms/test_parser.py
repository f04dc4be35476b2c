"""The multipart parser: any split of the bytes gives the same events, and nothing takes long."""

from __future__ import annotations

import itertools
import logging
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser as OtherParser

from covet_http import Malformed
from covet_http._forms._multipart import Mark, MultipartParser

Part = tuple[tuple[bytes, ...], bytes]


def parse(
    pieces: list[bytes], boundary: bytes = b"b", *, eager: bool = False, **limits: int
) -> list[Part]:
    """The parts of a form that comes in these pieces; those that are whole at once if ``eager``."""
    parser = MultipartParser(boundary, **{"max_headers": 4, "max_header_bytes": 64, **limits})
    parts: list[Part] = []
    headers: tuple[bytes, ...] = ()
    content: list[bytes] = []
    ended = False
    for piece in pieces:
        parser.feed(piece)
        while True:
            while eager and (whole := parser.whole()) is not None:
                assert not ended
                parts.append((tuple(whole[0]), whole[1]))
            event = parser.next()
            if event is None:
                break
            assert not ended
            if isinstance(event, bytes):
                assert event
                content.append(event)
            elif isinstance(event, list):
                headers, content = tuple(event), []
            elif event is Mark.PART_END:
                parts.append((headers, b"".join(content)))
            else:
                ended = True
    parser.finish()
    assert ended
    return parts


def outcome(pieces: list[bytes], **limits: Any) -> list[Part] | str:
    try:
        return parse(pieces, **limits)
    except Malformed as error:
        return error.detail


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(at)]


# Pieces of forms, so that boundaries and almost-boundaries are frequent.
TOKENS = [
    b"--b",
    b"\r\n",
    b"--",
    b"\r",
    b"\n",
    b"-",
    b"b",
    b"A: 1",
    b"x",
    b" ",
    b"\r\n--b",
    b"\r\n\r\n",
    b":",
]
SOUP = st.lists(st.sampled_from(TOKENS), max_size=30).map(b"".join)
CONTENT = SOUP.filter(lambda data: b"\r\n--b" not in b"\r\n" + data)
HEADER = st.sampled_from([b"A: 1", b"Content-Type: x/y", b"X:", b"b: --b"])
PARTS = st.lists(st.tuples(st.lists(HEADER, max_size=3).map(tuple), CONTENT), max_size=4)


def encoded(parts: list[Part], preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    body = preamble
    for headers, content in parts:
        body += (
            b"--b\r\n" + b"".join(line + b"\r\n" for line in headers) + b"\r\n" + content + b"\r\n"
        )
    return body + b"--b--" + epilogue


@given(
    PARTS,
    st.lists(st.integers(0, 10_000), max_size=8),
    st.sampled_from([b"", b"\r\n", b"junk\r\n"]),
)
def test_parts_come_out_as_they_went_in(
    parts: list[Part], cuts: list[int], preamble: bytes
) -> None:
    body = encoded(parts, preamble)
    assert parse(split(body, cuts)) == parts
    assert parse([body], eager=True) == parts
    assert parse(split(body, cuts), eager=True) == parts
    assert parse([bytes([byte]) for byte in body]) == parts


@given(
    st.one_of(SOUP, SOUP.map(lambda data: b"--b\r\n\r\n" + data + b"\r\n--b--")),
    st.lists(st.integers(0, 10_000), max_size=8),
)
@settings(max_examples=400)
@example(b"--b\r\nA: 1\r\n\r\n--b--", [])
@example(b"\r\n--b--", [1, 2])
def test_any_split_has_the_same_outcome(body: bytes, cuts: list[int]) -> None:
    whole = outcome([body])
    assert outcome(split(body, cuts)) == whole
    assert outcome([body], eager=True) == whole
    assert outcome(split(body, cuts), eager=True) == whole
    assert outcome([bytes([byte]) for byte in body]) == whole


@given(
    st.binary(max_size=200),
    st.binary(min_size=1, max_size=70).filter(lambda b: b"\r" not in b and b"\n" not in b),
)
def test_any_bytes_are_a_form_or_malformed(body: bytes, boundary: bytes) -> None:
    result = outcome([body], boundary=boundary)
    assert isinstance(result, str) or b"--" + boundary in body


def other(body: bytes) -> list[Part] | None:
    """What python-multipart makes of it, ``None`` if it refuses."""
    parts: list[Part] = []
    state: dict[str, Any] = {"ended": False}

    def begin() -> None:
        state.update(headers=[], content=b"", line=b"")

    def header(data: bytes, start: int, end: int) -> None:
        state["line"] += data[start:end]

    def value(data: bytes, start: int, end: int) -> None:
        if b"\0" not in state["line"]:
            state["line"] += b"\0"
        state["line"] += data[start:end]

    def header_end() -> None:
        state["headers"].append(state["line"])
        state["line"] = b""

    def content(data: bytes, start: int, end: int) -> None:
        state["content"] += data[start:end]

    parser = OtherParser(
        b"b",
        {
            "on_part_begin": begin,
            "on_header_field": header,
            "on_header_value": value,
            "on_header_end": header_end,
            "on_part_data": content,
            "on_part_end": lambda: parts.append((tuple(state["headers"]), state["content"])),
            "on_end": lambda: state.update(ended=True),
        },
    )
    try:
        parser.write(body)
    except FormParserError:
        return None
    return parts if state["ended"] else None


def names_and_values(headers: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    pairs = [re.split(rb"[:\0]", line, maxsplit=1) for line in headers]
    return [
        (name, value.strip(b" ") if value else b"")
        for name, value in (pair if len(pair) == 2 else (pair[0], b"") for pair in pairs)
    ]


@given(PARTS.filter(bool), st.sampled_from([b"", b"\r\n", b"\r\njunk"]))
@settings(max_examples=300)
def test_the_peer_reads_good_forms_the_same(parts: list[Part], epilogue: bytes) -> None:
    """Where two parsers read different parts, one of them can be deceived."""
    logging.disable(logging.CRITICAL)
    try:
        body = encoded(parts, epilogue=epilogue)
        theirs = other(body)
    finally:
        logging.disable(logging.NOTSET)
    assert theirs is not None
    ours = parse([body])
    assert [content for _, content in ours] == [content for _, content in theirs]
    assert [names_and_values(h) for h, _ in ours] == [names_and_values(h) for h, _ in theirs]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "ends before"),
        (b"--b", "ends before"),
        (b"--b\r\nA: 1\r\n\r\nx", "ends before"),
        (b"--b\r\nA: 1\r\n\r\nx\r\n--b", "ends before"),
        (b"--b\r\nA: 1\r\n\r\nx\r\n--b\r", "ends before"),
        (b"--b\r\nA: 1\r\n\r\nx\n--b--", "ends before"),
        (b"--bx\r\n", "followed by something else"),
        (b"--b\n\r\n", "followed by something else"),
        (b"--b\r\nA: 1\r\n\r\nx\r\n--bx--\r\n--b--", "followed by something else"),
        (b"--b - -", "followed by something else"),
        (b"--b" + b" " * 65, "too many blanks"),
        (b"x" * 1025 + b"\r\n--b--", "outside"),
        (b"\r\n" * 100_000, "outside"),
        (b"--b--" + b"x" * 1025, "outside"),
        (b"--b--" + b"\r\n" * 100_000, "outside"),
        (b"--b\r\n" + b"A: 1\r\n" * 5 + b"\r\n", "may have 4 headers"),
        (b"--b\r\nA: " + b"1" * 62 + b"\r\n\r\n", "may have 64 bytes"),
        (b"--b\r\nA: " + b"1" * 100_000, "may have 64 bytes"),
        (b"--b\r\n" + b"\r" * 100_000, "may have 64 bytes"),
    ],
)
def test_what_is_no_form(body: bytes, problem: str) -> None:
    # bad input 48
    whole = outcome([body])
    assert isinstance(whole, str)
    assert problem in whole
    assert outcome([body[at : at + 7] for at in range(0, len(body), 7)]) == whole


def test_what_is_just_allowed() -> None:
    headers = (b"A: " + b"1" * 61,)
    body = b"x" * 1022 + b"\r\n--b \t\r\n" + headers[0] + b"\r\n\r\ny\r\n--b--" + b"x" * 1024
    assert parse([body]) == [(headers, b"y")]
    assert parse([b"--b--"]) == []
    assert parse([b"--b\r\nA: 1\r\n\r\n--b--"]) == [((b"A: 1",), b"")]
    assert parse([b"--b\r\n\r\n\r\n--b--"]) == [((), b"")]


def test_work_grows_with_the_size_and_memory_does_not() -> None:
    """A megabyte of almost-boundaries, a byte at a time: what is kept stays as small as a boundary."""
    # bad input 48
    boundary = b"b" * 70
    parser = MultipartParser(boundary, max_headers=4, max_header_bytes=64)
    parser.feed(b"--" + boundary + b"\r\nA: 1\r\n\r\n")
    while parser.next() is not None:
        pass
    given, taken = 0, 0
    for piece in (b"\r\n--" + b"b" * 69, b"\r\n", b"\r", b"\n", b"--", b"\r\n--") * 500:
        for at in range(len(piece)):
            parser.feed(piece[at : at + 1])
            given += 1
            while (event := parser.next()) is not None:
                assert isinstance(event, bytes)
                taken += len(event)
            assert len(parser._data) <= len(boundary) + 5
    assert given - taken <= len(boundary) + 5
