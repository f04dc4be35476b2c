"""Percent-decoding and queries, against the standard library and against what must be refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_http._target import BadTargetError, decode, parse_query

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
NAMES = TEXT.filter(bool)


@given(TEXT)
def test_decoding_undoes_quoting(text: str) -> None:
    assert decode(quote(text, safe="")) == text


@given(st.text("%0123456789abcdefgzG/", max_size=12))
def test_decoding_gives_text_or_says_why_not(text: str) -> None:
    try:
        decoded = decode(text)
    except BadTargetError:
        assert "%" in text
    else:
        assert "\0" not in decoded
        if "%" not in text:
            assert decoded == text


def defined(text: str) -> str:
    """What decoding means, said with the standard library, which forgives everything."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise BadTargetError("an incomplete percent-escape")
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise BadTargetError("percent-escapes that are not UTF-8") from None
    if "\0" in decoded:
        raise BadTargetError("a NUL character")
    return decoded


def outcome(function: Callable[..., object], *given: object, **more: object) -> object:
    """What it returns, or why it does not."""
    try:
        return function(*given, **more)
    except BadTargetError as error:
        return type(error), str(error)


ENCODED = st.lists(
    st.sampled_from(
        ["%20", "%2f", "%C3%A9", "%c3", "%00", "%7F", "%80", "%2", "%", "20", " ", "\0", "x"]
    )
    | st.text("%0123456789abcdefABCDEFgzG/+ ", max_size=4),
    max_size=8,
).map("".join)


@given(ENCODED)
def test_decoding_agrees_with_its_definition(text: str) -> None:
    assert outcome(decode, text) == outcome(defined, text)


@given(
    st.lists(st.sampled_from(["&", "=", "+", "a", "b", "a=1", "é"]) | ENCODED, max_size=12),
    st.integers(1, 6),
)
def test_a_query_is_read_pair_by_pair(parts: list[str], limit: int) -> None:
    """By its definition, without any of the shortcuts."""

    def pairs(raw: bytes) -> dict[str, str | list[str]]:
        if raw.count(b"&") >= limit:
            raise BadTargetError(f"more than {limit} query parameters")
        if not raw.isascii():
            raise BadTargetError("a query that is not ASCII")
        if b"\0" in raw:
            raise BadTargetError("a NUL character")
        values: dict[str, list[str]] = {}
        for pair in raw.decode("ascii").split("&"):
            if pair:
                name, _, value = pair.replace("+", " ").partition("=")
                values.setdefault(defined(name), []).append(defined(value))
        return {name: found if len(found) > 1 else found[0] for name, found in values.items()}

    raw = "".join(parts).encode()
    assert outcome(parse_query, raw, limit=limit) == outcome(pairs, raw)


@pytest.mark.parametrize(
    "text", ["%", "%z", "%zz", "a%0", "%00", "a%00b", "%ff", "%c3", "%c3%28", "%ed%a0%80"]
)
def test_bad_escapes_are_refused(text: str) -> None:
    # bad input 41
    with pytest.raises(BadTargetError):
        decode(text)


@given(st.lists(st.tuples(NAMES, TEXT), max_size=20))
def test_query_agrees_with_the_standard_library(pairs: list[tuple[str, str]]) -> None:
    raw = urlencode(pairs).encode()
    expected = parse_qs(raw.decode(), keep_blank_values=True)
    found = parse_query(raw, limit=100)
    assert {
        name: value if isinstance(value, list) else [value] for name, value in found.items()
    } == expected


@given(st.binary(max_size=60))
def test_any_bytes_give_a_query_or_say_why_not(raw: bytes) -> None:
    try:
        found = parse_query(raw, limit=10)
    except BadTargetError:
        return
    assert sum(len(v) if isinstance(v, list) else 1 for v in found.values()) <= raw.count(b"&") + 1


def test_a_semicolon_separates_nothing() -> None:
    # bad input 41: cloaking
    assert parse_query(b"a=1;b=2&c=3", limit=10) == {"a": "1;b=2", "c": "3"}


def test_the_number_of_parameters_is_limited() -> None:
    # bad input 41
    assert len(parse_query(b"&".join(b"k%d=v" % n for n in range(10)), limit=10)) == 10
    with pytest.raises(BadTargetError, match="more than 10"):
        parse_query(b"&".join(b"k%d=v" % n for n in range(11)), limit=10)


def test_bytes_beyond_ascii_are_refused() -> None:
    with pytest.raises(BadTargetError, match="ASCII"):
        parse_query(b"a=\xff", limit=10)
