"""``Range``, and the conditions of conditional requests: the parsers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_http._conditional import (
    Validators,
    entity_tags,
    evaluate,
    format_date,
    holds,
    parse_date,
    range_applies,
)
from covet_http._ranges import MOST_RANGES, parse_ranges


@pytest.mark.parametrize(
    ("value", "size", "spans"),
    [
        ("bytes=0-0", 10, [(0, 0)]),
        ("bytes=0-", 10, [(0, 9)]),
        ("bytes=3-5", 10, [(3, 5)]),
        ("bytes=9-100", 10, [(9, 9)]),
        ("bytes=-3", 10, [(7, 9)]),
        ("bytes=-30", 10, [(0, 9)]),
        ("BYTES = 1-2", 10, [(1, 2)]),
        ("bytes= 1-2 ,\t4-5", 10, [(1, 2), (4, 5)]),
        ("bytes=6-7,0-1", 10, [(0, 1), (6, 7)]),
        ("bytes=0-4,2-6", 10, [(0, 6)]),
        ("bytes=0-1,2-3", 10, [(0, 3)]),
        ("bytes=0-,0-,0-", 10, [(0, 9)]),
        ("bytes=0-0,20-30", 10, [(0, 0)]),
        ("bytes=10-", 10, []),
        ("bytes=-0", 10, []),
        ("bytes=0-", 0, []),
        ("bytes=-5", 0, None),
        ("bytes=5-2", 10, None),
        ("bytes=5-2,0-1", 10, None),
        ("bytes=", 10, None),
        ("bytes=,", 10, None),
        ("bytes=1", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=+1-2", 10, None),
        ("bytes=1--2", 10, None),
        ("bytes=1-2-3", 10, None),
        ("bytes=０-１", 10, None),
        ("bytes=0-" + "9" * 18, 10, [(0, 9)]),
        ("bytes=0-" + "9" * 30, 10, None),
        ("bytes=" + "9" * 30 + "-", 10, None),
        ("lines=0-1", 10, None),
        ("bytes", 10, None),
        ("", 10, None),
    ],
)
def test_ranges(value: str, size: int, spans: list[tuple[int, int]] | None) -> None:
    # bad input 54
    assert parse_ranges(value, size) == spans


def test_many_ranges_are_ignored() -> None:
    # bad input 54
    most = ",".join(f"{2 * n}-{2 * n}" for n in range(MOST_RANGES))
    assert len(parse_ranges(f"bytes={most}", 1000) or ()) == MOST_RANGES
    assert parse_ranges(f"bytes={most},500-500", 1000) is None
    for evil in ("0-,", "0-0,", "-1,", ",", "5-2,", "9" * 30 + "-,"):
        assert parse_ranges("bytes=" + evil * 10_000, 1000) is None


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8),
    st.integers(1, 25),
)
def test_the_spans_are_the_bytes_that_were_asked_for(
    given: list[tuple[int, int]], size: int
) -> None:
    # bad input 54
    value = "bytes=" + ",".join(f"{first}-{last}" for first, last in given)
    spans = parse_ranges(value, size)
    if any(last < first for first, last in given):
        assert spans is None
        return
    assert spans is not None
    wanted = {n for first, last in given for n in range(first, last + 1) if n < size}
    sent = [n for span in spans for n in range(span.first, span.last + 1)]
    assert sent == sorted(wanted)
    assert sum(span.size for span in spans) == len(wanted)


@given(st.text(alphabet="bytes=0123456789-, \t", max_size=40) | st.text(max_size=20))
def test_whatever_comes_is_no_trouble(value: str) -> None:
    # bad input 54
    for span in parse_ranges(value, 50) or ():
        assert 0 <= span.first <= span.last < 50


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001 - as UTC
def test_dates_are_what_they_were(moment: datetime) -> None:
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    assert parse_date(format_date(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Sunday, 06-Nov-31 08:49:37 GMT", 1951721377),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228799),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 08:49:37 +0100", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, ٠٦ Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT\n", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates(text: str, seconds: int | None) -> None:
    assert parse_date(text) == seconds


@given(st.text(max_size=30))
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize(
    ("value", "weak", "strong"),
    [
        ('"a"', True, True),
        ('W/"a"', True, False),
        ('"b", "a"', True, True),
        ('"b" , W/"a"', True, False),
        (', ,"a",', True, True),
        ("*", True, True),
        (" * ", True, True),
        ('"b"', False, False),
        ('w/"a"', False, False),
        ('"b" "a"', False, False),
        ("a", False, False),
        ('"b"x, "a"', False, False),
        ("", False, False),
    ],
)
def test_entity_tags(value: str, weak: bool, strong: bool) -> None:
    assert holds(value, '"a"') is weak
    assert holds(value, '"a"', strong=True) is strong
    assert holds(value, 'W/"a"') is weak
    assert holds(value, 'W/"a"', strong=True) is ("*" in value)


def test_tags_are_found_in_linear_time() -> None:
    assert len(list(entity_tags('"a", ' * 5_000))) == 5_000
    assert list(entity_tags('"' + "a" * 100_000)) == []


NOW = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE, AFTER = "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
STRONG = Validators('"a"', 784111777)
WEAK = Validators('W/"a"', 784111777, settled=False)


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({}, "proceed"),
        ({"if-match": '"a"'}, "proceed"),
        ({"if-match": '"b"'}, "failed"),
        ({"if-match": 'W/"a"'}, "failed"),
        ({"if-match": "*"}, "proceed"),
        ({"if-match": '"a"', "if-unmodified-since": BEFORE}, "proceed"),
        ({"if-unmodified-since": BEFORE}, "failed"),
        ({"if-unmodified-since": NOW}, "proceed"),
        ({"if-unmodified-since": "x"}, "proceed"),
        ({"if-none-match": '"a"'}, "unmodified"),
        ({"if-none-match": 'W/"a"'}, "unmodified"),
        ({"if-none-match": "*"}, "unmodified"),
        ({"if-none-match": '"b"'}, "proceed"),
        ({"if-none-match": '"b"', "if-modified-since": NOW}, "proceed"),
        ({"if-modified-since": NOW}, "unmodified"),
        ({"if-modified-since": AFTER}, "unmodified"),
        ({"if-modified-since": BEFORE}, "proceed"),
        ({"if-modified-since": "x"}, "proceed"),
        ({"if-match": '"b"', "if-none-match": '"a"'}, "failed"),
        ({"if-match": '"a"', "if-none-match": '"a"'}, "unmodified"),
    ],
)
def test_conditions(headers: dict[str, str], outcome: str) -> None:
    assert evaluate(headers, STRONG) == outcome


def test_conditions_on_what_has_no_validators() -> None:
    nothing = Validators()
    assert evaluate({"if-none-match": '""', "if-modified-since": NOW}, nothing) == "proceed"
    assert evaluate({"if-modified-since": NOW, "if-unmodified-since": NOW}, nothing) == "proceed"
    assert evaluate({"if-match": '"a"'}, nothing) == "failed"


@pytest.mark.parametrize(
    ("given", "strong", "weak"),
    [
        (None, True, True),
        ('"a"', True, False),
        ('W/"a"', False, False),
        ('"b"', False, False),
        ('"b", "a"', False, False),
        (NOW, True, False),
        (BEFORE, False, False),
        (AFTER, False, False),
        ("*", False, False),
        ("x", False, False),
    ],
)
def test_if_range(given: str | None, strong: bool, weak: bool) -> None:
    headers = {} if given is None else {"if-range": given}
    assert range_applies(headers, STRONG) is strong
    assert range_applies(headers, WEAK) is weak
