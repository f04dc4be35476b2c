"""Accept, and lists in headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covet_http._accept import TooManyRangesError, preferred, split_list

OFFERED = ["application/json", "application/vnd.msgpack"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("*/*", 0),
        ("application/*", 0),
        ("application/vnd.msgpack", 1),
        ("Application/VND.MsgPack ; q=0.5", 1),
        ("application/json, application/vnd.msgpack", 0),
        ("application/json;q=0.5, application/vnd.msgpack;q=0.6", 1),
        ("application/json;q=0, */*", 1),
        ("application/json;q=0.1, application/*;q=0.2, */*;q=0.3", 1),
        ("application/json; charset=utf-8", 0),
        ("text/html, */*;q=0.1", 0),
        ("text/html", None),
        ("text/*, image/png", None),
        ("*/*;q=0", None),
        ("", None),
        ("json", None),
        ("*/json", None),
        ("application/json;q=2", None),
        ("application/json;q=0.1234", None),
        ("application/json;q=-1", None),
        ("application/json;version=2", None),
        ("application/json;q", None),
        ('text/plain;x="a,b", application/vnd.msgpack', 1),
        ("application/json extra", None),
        (",,,application/json,,", 0),
    ],
)
def test_what_is_preferred(line: str, expected: int | None) -> None:
    assert preferred(line, OFFERED) == expected


@pytest.mark.parametrize("line", ["a/b," * 65, "a" * 5000, '"' * 5000, "a/b;q=" + "1" * 5000])
def test_more_than_anybody_needs_is_refused(line: str) -> None:
    with pytest.raises(TooManyRangesError):
        preferred(line, OFFERED)


@given(st.text(max_size=200))
def test_any_text_is_a_choice_or_none(line: str) -> None:
    try:
        assert preferred(line, OFFERED) in (0, 1, None)
    except TooManyRangesError:
        assert line.count(",") >= 64


WEIGHTS = st.integers(0, 1000)


@given(WEIGHTS, WEIGHTS, WEIGHTS)
def test_the_most_specific_weight_counts(json: int, packed: int, rest: int) -> None:
    line = (
        f"*/*;q={rest / 1000:.3f}, application/json;q={json / 1000:.3f},"
        f" application/vnd.msgpack;q={packed / 1000:.3f}"
    )
    expected = None if json == packed == 0 else 0 if json >= packed else 1
    assert preferred(line, OFFERED) == expected
    assert preferred(line, ["text/plain"]) == (0 if rest else None)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("a", ["a"]),
        (" a , b,,c\t,", ["a", "b", "c"]),
        ('"a,b", c', ['"a,b"', "c"]),
        (r'"a\",b", c', [r'"a\",b"', "c"]),
        ('"a,b', ['"a,b']),
        (r'a\,b"', [r"a\\"[:2], 'b"']),
    ],
)
def test_lists(line: str, expected: list[str]) -> None:
    assert split_list(line) == expected


@given(st.lists(st.from_regex(r'[a-z=]{1,5}|"[a-z, ]{0,5}"', fullmatch=True), max_size=6))
def test_elements_of_lists_come_back(elements: list[str]) -> None:
    assert split_list(", ".join(elements)) == elements
